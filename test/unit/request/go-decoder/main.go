// Prints, for each request body on standard input (base64, one a line), what a server written in Go reads from
// it: the first JSON value, decoded into structs with Ollama's field names and types.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"time"
)

type reading struct {
	// Error of decoding the fields that every request has; the others do not count.
	Error string  `json:"error"`
	Model string  `json:"model"`
	Name  *string `json:"name"`
	// Nil where the field is absent, null or of another type.
	Stream      *bool    `json:"stream"`
	NumCtx      *float64 `json:"numCtx"`
	KeepAliveNs *int64   `json:"keepAliveNs"`
	// Whether what follows the first value is white space only.
	IsAlone bool `json:"isAlone"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	answers := json.NewEncoder(out)
	for lines.Scan() {
		body, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil {
			panic(err)
		}
		if err := answers.Encode(read(body)); err != nil {
			panic(err)
		}
	}
	if err := lines.Err(); err != nil {
		panic(err)
	}
}

func read(body []byte) reading {
	var got reading
	var request struct {
		Model string `json:"model"`
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(&request); err != nil {
		got.Error = err.Error()
		return got
	}
	got.Model = request.Model
	got.IsAlone = !decoder.More()

	var name struct {
		Name *string `json:"name"`
	}
	if decode(body, &name) {
		got.Name = name.Name
	}
	var stream struct {
		Stream *bool `json:"stream"`
	}
	if decode(body, &stream) {
		got.Stream = stream.Stream
	}
	var options struct {
		Options map[string]any `json:"options"`
	}
	if decode(body, &options) {
		if numCtx, ok := options.Options["num_ctx"].(float64); ok {
			got.NumCtx = &numCtx
		}
	}
	var keepAlive struct {
		KeepAlive any `json:"keep_alive"`
	}
	if decode(body, &keepAlive) {
		got.KeepAliveNs = nanoseconds(keepAlive.KeepAlive)
	}
	return got
}

func decode(body []byte, into any) bool {
	return json.NewDecoder(bytes.NewReader(body)).Decode(into) == nil
}

func nanoseconds(keepAlive any) *int64 {
	var stay time.Duration
	switch value := keepAlive.(type) {
	case float64:
		// Negative ones keep the model for ever, however small.
		stay = time.Duration(value * float64(time.Second))
		if value < 0 {
			stay = -1
		}
	case string:
		parsed, err := time.ParseDuration(value)
		if err != nil {
			return nil
		}
		stay = parsed
	default:
		return nil
	}
	answer := stay.Nanoseconds()
	return &answer
}
