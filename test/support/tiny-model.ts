/**
 * Writes a minuscule llama model with random weights as a GGUF file: about 0.3 MB, loadable by Ollama and llama.cpp,
 * answering in random words. Equal seeds give equal bytes.
 */
export function tinyModel(seed: number): Buffer {
  const random = gaussian(seed);
  const tensors = modelTensors(random);
  const metadata = modelMetadata(seed);
  const head: Buffer[] = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.length)];
  for (const [key, value] of metadata) head.push(text(key), value);
  const data: Buffer[] = [];
  let offset = 0;
  for (const { name, shape, values } of tensors) {
    const isMatrix = shape.length > 1;
    head.push(text(name), u32(shape.length), ...shape.map(u64), u32(isMatrix ? F16 : F32), u64(offset));
    const bytes = pad(isMatrix ? halfFloats(values) : floats(values));
    data.push(bytes);
    offset += bytes.length;
  }
  return Buffer.concat([pad(Buffer.concat(head)), ...data]);
}

const EMBEDDING = 64;
const LAYERS = 2;
const HEADS = 4;
const FEED_FORWARD = 128;
const CONTEXT = 8192;

const WORDS =
  `the of and to in is was for on that by with as at from it his an are were which be this has had not but
or one their its new who they have all been two time first after only some could these her may then do any my now such
like our over man me even most made also did many before must through back years where much your way well down should
because each just those people state how too little good very make world still own see men work long get here between
both life being under never day same another know while last might great old year off come since against go came right
used take three river stone light cloud green blue small tree house road bird water fire wind night summer winter garden
music paper letter window table`.split(/\s+/);

/** Piece types of a SentencePiece vocabulary. */
const [NORMAL, UNKNOWN, CONTROL, BYTE] = [1, 2, 3, 6];
/** Tensor types. */
const [F32, F16] = [0, 1];

interface Tensor {
  readonly name: string;
  /** Fastest dimension first, as GGUF wants it. */
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

interface Piece {
  readonly text: string;
  readonly score: number;
  readonly type: number;
}

/** Specials, all bytes, ASCII characters, words. */
function vocabulary(): Piece[] {
  const piece = (text: string, score: number, type: number): Piece => ({ text, score, type });
  return [
    piece('<unk>', 0, UNKNOWN),
    piece('<s>', 0, CONTROL),
    piece('</s>', 0, CONTROL),
    ...Array.from({ length: 256 }, (_, byte) =>
      piece(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`, 0, BYTE),
    ),
    ...Array.from({ length: 94 }, (_, index) => piece(String.fromCharCode(33 + index), -100, NORMAL)),
    piece('\u2581', -100, NORMAL),
    ...WORDS.map((word, index) => piece(`\u2581${word}`, -(index + 1), NORMAL)),
  ];
}

function modelMetadata(seed: number): [string, Buffer][] {
  const pieces = vocabulary();
  return [
    ['general.architecture', stringValue('llama')],
    ['general.name', stringValue(`tiny-random-${seed}`)],
    ['general.file_type', u32Value(F16)],
    ['llama.block_count', u32Value(LAYERS)],
    ['llama.context_length', u32Value(CONTEXT)],
    ['llama.embedding_length', u32Value(EMBEDDING)],
    ['llama.feed_forward_length', u32Value(FEED_FORWARD)],
    ['llama.attention.head_count', u32Value(HEADS)],
    ['llama.attention.head_count_kv', u32Value(HEADS)],
    ['llama.attention.layer_norm_rms_epsilon', f32Value(1e-5)],
    ['llama.rope.dimension_count', u32Value(EMBEDDING / HEADS)],
    ['llama.vocab_size', u32Value(pieces.length)],
    ['tokenizer.ggml.model', stringValue('llama')],
    [
      'tokenizer.ggml.tokens',
      arrayValue(
        8,
        pieces.map((piece) => text(piece.text)),
      ),
    ],
    [
      'tokenizer.ggml.scores',
      arrayValue(
        6,
        pieces.map((piece) => f32(piece.score)),
      ),
    ],
    [
      'tokenizer.ggml.token_type',
      arrayValue(
        5,
        pieces.map((piece) => u32(piece.type)),
      ),
    ],
    ['tokenizer.ggml.bos_token_id', u32Value(1)],
    ['tokenizer.ggml.eos_token_id', u32Value(2)],
    ['tokenizer.ggml.unknown_token_id', u32Value(0)],
    ['tokenizer.ggml.add_bos_token', boolValue(true)],
    ['tokenizer.ggml.add_eos_token', boolValue(false)],
  ];
}

function modelTensors(random: () => number): Tensor[] {
  const vocabularySize = vocabulary().length;
  const noise = (count: number, scale: number): Float64Array =>
    Float64Array.from({ length: count }, () => random() * scale);
  const matrix = (name: string, rows: number, columns: number): Tensor => ({
    name,
    shape: [columns, rows],
    values: noise(rows * columns, 1 / Math.sqrt(columns)),
  });
  const norm = (name: string): Tensor => ({
    name,
    shape: [EMBEDDING],
    values: new Float64Array(EMBEDDING).fill(1),
  });
  // Only whole words have output weights: the text stays readable, and generation ends only at the limit asked for.
  const output = new Float64Array(vocabularySize * EMBEDDING);
  const words = WORDS.length * EMBEDDING;
  output.set(noise(words, 1.5 / Math.sqrt(EMBEDDING)), output.length - words);
  const layers = Array.from({ length: LAYERS }, (_, layer) => {
    const block = `blk.${layer}.`;
    return [
      norm(`${block}attn_norm.weight`),
      ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].map((name) =>
        matrix(`${block}${name}.weight`, EMBEDDING, EMBEDDING),
      ),
      norm(`${block}ffn_norm.weight`),
      matrix(`${block}ffn_gate.weight`, FEED_FORWARD, EMBEDDING),
      matrix(`${block}ffn_up.weight`, FEED_FORWARD, EMBEDDING),
      matrix(`${block}ffn_down.weight`, EMBEDDING, FEED_FORWARD),
    ];
  });
  const shape = [EMBEDDING, vocabularySize];
  return [
    { name: 'token_embd.weight', shape, values: noise(vocabularySize * EMBEDDING, 1) },
    ...layers.flat(),
    norm('output_norm.weight'),
    { name: 'output.weight', shape, values: output },
  ];
}

/** Normally distributed numbers from a seed: mulberry32 and Box-Muller. */
function gaussian(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

// GGUF is little-endian; values in the metadata carry their type in front.
const stringValue = (value: string): Buffer => Buffer.concat([u32(8), text(value)]);
const u32Value = (value: number): Buffer => Buffer.concat([u32(4), u32(value)]);
const f32Value = (value: number): Buffer => Buffer.concat([u32(6), f32(value)]);
const boolValue = (value: boolean): Buffer => Buffer.concat([u32(7), Buffer.from([value ? 1 : 0])]);
const arrayValue = (type: number, items: Buffer[]): Buffer =>
  Buffer.concat([u32(9), u32(type), u64(items.length), ...items]);

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function f32(value: number): Buffer {
  return floats([value]);
}

function floats(values: Iterable<number>): Buffer {
  const all = Float32Array.from(values);
  return Buffer.from(all.buffer, 0, all.byteLength);
}

function halfFloats(values: Float64Array): Buffer {
  const single = new Float32Array(1);
  const bits = new Uint32Array(single.buffer);
  const halves = Uint16Array.from(values, (value) => {
    single[0] = value;
    return halfOf(bits[0] ?? 0);
  });
  return Buffer.from(halves.buffer, 0, halves.byteLength);
}

/** Bits of a 32-bit float cut down to 16; subnormals become 0, and no weight is large enough to overflow. */
function halfOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 112;
  return exponent <= 0 ? sign : sign | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

/** Tensors start at multiples of 32 bytes. */
function pad(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((32 - (bytes.length % 32)) % 32)]);
}
