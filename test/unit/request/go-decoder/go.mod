module go-decoder

go 1.21
