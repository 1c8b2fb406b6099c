import fc from 'fast-check';

/*
 * Bodies are put together as "binary strings", one character per byte, because they need not be UTF-8.
 */

/** The bytes of a text in UTF-8. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** One byte per character. */
export function fromBinary(binary: string): Uint8Array {
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function toBinary(text: string): string {
  return String.fromCharCode(...utf8(text));
}

/** Pieces of valid string content, as written. */
const plainPiece = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom('a', 'why is the sky blue?', ' ', '#', '#301', '{"model":', "'", '//'),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      '\\"',
      '\\\\',
      '\\/',
      '\\n',
      '\\t',
      '\\u00e9',
      '\\u0000',
      '\\ud83d\\ude00',
      '\\ud800',
    ),
  },
  { weight: 2, arbitrary: fc.constantFrom('é', 'ſ', '\u212a', '中', '😀', '\ufffd').map(toBinary) },
  {
    weight: 1,
    arbitrary: fc.string({ maxLength: 12 }).map((text) => toBinary(JSON.stringify(text).slice(1, -1))),
  },
  { weight: 1, arbitrary: fc.constantFrom('\xff', '\xc5', '\xe2\x84', '\xf0\x9f', '\xed\xa0\x80') },
);
const badPiece = fc.constantFrom('\x00', '\x01', '\n', '\x1f', '\\x', '\\u12', '\\u00g0', '\\', '"');

/** Content whose written length lies around the edges at which bones cut: 64, 128, 300 bytes and far beyond. */
const edgeText = fc
  .record({
    length: fc.oneof(
      fc.integer({ min: 55, max: 70 }),
      fc.integer({ min: 290, max: 310 }),
      fc.constantFrom(128, 700, 5000),
    ),
    filler: fc.constantFrom(
      'x',
      ' ',
      '\\n',
      '\\"',
      '\\\\',
      '\\u4e2d',
      toBinary('中'),
      toBinary('😀'),
      '\xff',
      '#301',
    ),
    head: fc.array(plainPiece, { maxLength: 4 }).map((pieces) => pieces.join('')),
    shift: fc.integer({ min: 0, max: 6 }),
    tail: fc.constantFrom('', '#301', '#64', '\\#301', '\\u00#301', '\\"'),
  })
  .map(({ length, filler, head, shift, tail }) => {
    const start = head + 'y'.repeat(shift);
    const times = Math.max(0, Math.floor((length - start.length - tail.length) / filler.length));
    return start + filler.repeat(times) + tail;
  });

const shortText = fc.array(plainPiece, { maxLength: 5 }).map((pieces) => pieces.join(''));
const text = fc.oneof(
  { weight: 45, arbitrary: shortText },
  { weight: 20, arbitrary: edgeText },
  {
    weight: 1,
    arbitrary: fc.tuple(shortText, badPiece, fc.oneof(shortText, edgeText)).map((parts) => parts.join('')),
  },
);
const string = text.map((content) => `"${content}"`);

const number = fc.oneof(
  {
    weight: 36,
    arbitrary: fc.constantFrom(
      '0',
      '-0',
      '1',
      '4096',
      '-1',
      '4096.75',
      '1e3',
      '1E+2',
      '2.5e-3',
      '1e999999',
      `1${'0'.repeat(400)}`,
    ),
  },
  {
    weight: 12,
    arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => String(value)),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('NaN', '-Infinity', '01', '.5', '1.', '1e', '-', '+1', '0x10', '1e+', '--1'),
  },
);
const word = fc.oneof(
  { weight: 48, arbitrary: fc.constantFrom('true', 'false', 'null') },
  { weight: 1, arbitrary: fc.constantFrom('True', 'nul', 'undefined', 'truefalse') },
);
const space = fc.constantFrom('', '', '', '', ' ', '\n', '\r\n\t');

/** A key that some parser may take for a field of ours, in one of its many spellings. */
const fieldKey = fc
  .record({
    name: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom('name', 'stream', 'options', 'keep_alive') },
      { weight: 1, arbitrary: fc.constantFrom('model', 'num_ctx') },
    ),
    spelling: fc.oneof(
      { weight: 6, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 5 }) },
    ),
    position: fc.nat({ max: 9 }),
  })
  .map(({ name, spelling, position }) => `"${spell(name, spelling, position % name.length)}"`);

function spell(name: string, spelling: number, position: number): string {
  const [before, letter, after] = [name.slice(0, position), name.charAt(position), name.slice(position + 1)];
  switch (spelling) {
    case 1:
      return `${before}\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}${after}`;
    case 2:
      return before + letter.toUpperCase() + after;
    case 3:
      return toBinary(name.replace('s', 'ſ').replace('k', '\u212a'));
    case 4:
      return name.replace('s', '\\u017F').replace('k', '\\u212a');
    case 5:
      return before + after;
    default:
      return name;
  }
}

const key = fc.oneof(
  { weight: 5, arbitrary: fieldKey },
  { weight: 4, arbitrary: fc.constantFrom('"messages"', '"prompt"', '"__proto__"', '"constructor"', '""') },
  { weight: 2, arbitrary: fc.constantFrom('"Prompt"', '"t\\u006fols"', '"system"', '"input"', '"tools"') },
  { weight: 2, arbitrary: string },
);

const modelName = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.constantFrom(
      'llama3',
      'LLAMA3:8B',
      'hf.co/org/Repo-GGUF:Q4_K_M',
      'host:5000/ns/m:t',
      'll\\u0061ma3',
      '__proto__',
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '',
      ' a ',
      'a:cloud',
      'a\\nb',
      '../x',
      'a#301',
      `registry.ollama.ai/library/${'m'.repeat(80)}:t`,
    ),
  },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 290, max: 330 }).map((length) => `${'h'.repeat(length)}/ns/m:t`),
  },
  { weight: 1, arbitrary: text },
);
const modelMember = fc.oneof(
  { weight: 12, arbitrary: modelName.map((name) => `"model":"${name}"`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '"model":null',
      '"model":1',
      '"model":{"model":"x"}',
      '"MODEL":"a"',
      '"model" : true',
    ),
  },
);

const { value } = fc.letrec<{ value: string; array: string; object: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    { weight: 4, arbitrary: string },
    { weight: 3, arbitrary: number },
    { weight: 2, arbitrary: word },
    { weight: 2, arbitrary: tie('array') },
    { weight: 3, arbitrary: tie('object') },
  ),
  array: fc
    .array(fc.tuple(space, tie('value')), { maxLength: 4 })
    .map((items) => `[${items.map((item) => item.join('')).join(',')}]`),
  object: fc
    .array(fc.tuple(space, key, space, tie('value'), space), { maxLength: 4 })
    .map(
      (members) => `{${members.map(([a, name, b, member, c]) => `${a}${name}${b}:${member}${c}`).join(',')}}`,
    ),
}));

/** Parts of messages as the three APIs write them. */
const part = fc.oneof(
  string.map((content) => `{"type":"text","text":${content}}`),
  string.map((content) => `{"type":"text","text":${content},"cache_control":{"type":"ephemeral"}}`),
  fc
    .tuple(fc.constantFrom('data:image/png;base64,', 'https://', '#301'), text)
    .map(([head, rest]) => `{"type":"image_url","image_url":{"url":"${head}${rest}"}}`),
  text.map((data) => `{"type":"image","source":{"type":"base64","data":"${data}"}}`),
  string.map((content) => `{"type":"input_image","image_url":${content}}`),
  value,
);
const message = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom('system', 'user', 'assistant'), string)
      .map(([role, content]) => `{"role":"${role}","content":${content}}`),
  },
  {
    weight: 2,
    arbitrary: fc
      .array(part, { maxLength: 3 })
      .map((parts) => `{"role":"user","content":[${parts.join(',')}]}`),
  },
  {
    weight: 1,
    arbitrary: fc.array(string, { maxLength: 3 }).map((images) => `{"images":[${images.join(',')}]}`),
  },
  { weight: 1, arbitrary: value },
);
const list = (item: fc.Arbitrary<string>, maxLength: number) =>
  fc.array(item, { maxLength }).map((items) => `[${items.join(',')}]`);

/** Members that tell what the model reads, and hints. */
const prompt = fc.oneof(
  fc
    .tuple(fc.constantFrom('messages', 'input'), list(message, 24))
    .map(([name, messages]) => `"${name}":${messages}`),
  fc
    .tuple(
      fc.constantFrom('prompt', 'suffix', 'system', 'instructions', 'input'),
      fc.oneof(string, list(part, 3)),
    )
    .map(([name, content]) => `"${name}":${content}`),
  list(value, 3).map((tools) => `"tools":${tools}`),
  list(string, 3).map((images) => `"images":${images}`),
  fc
    .integer({ min: 0, max: 700 })
    .map((count) => `"context":[${Array.from({ length: count }, (_, i) => i * 7).join(',')}]`),
  fc
    .tuple(
      fc.constantFrom('max_tokens', 'max_completion_tokens', 'max_output_tokens'),
      fc.oneof(number, word),
    )
    .map((parts) => `"${parts.join('":')}`),
  fc
    .oneof(
      {
        weight: 8,
        arbitrary: list(
          modelName.map((name) => `"${name}"`),
          3,
        ),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom('null', '[]', '"a"', '[1]', `[${Array(9).fill('"a"').join(',')}]`),
      },
    )
    .map((models) => `"fallback_models":${models}`),
);

const special = fc.oneof(
  prompt,
  fc.constantFrom('"stream":false', '"stream":true', '"stream":"yes"', '"stream":null'),
  fc.constantFrom(
    '"options":{"num_ctx":2048}',
    '"options":{"num_ctx":1,"num_ctx":null}',
    '"options":[1]',
    '"options":{"num_predict":100,"num_gpu":99,"num_\\u0067pu":1,"use_mmap":false,"numa":null}',
    '"options":{"num_predict":-1,"main_gpu":0}',
    '"options":null',
  ),
  fc.constantFrom(
    '"keep_alive":0',
    '"keep_alive":"0s"',
    '"keep_alive":"5m"',
    '"keep_alive":-1',
    '"keep_alive":"0.5ns"',
  ),
  fc.integer({ min: 500, max: 516 }).map((depth) => `"deep":${'['.repeat(depth)}${']'.repeat(depth)}`),
  fc.integer({ min: 500, max: 516 }).map((depth) => `"deep":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`),
);
const member = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(key, value).map((parts) => parts.join(':')) },
  { weight: 2, arbitrary: special },
  { weight: 2, arbitrary: prompt },
);

/** Makes a body too long to be its own bones. */
const longMember = fc
  .tuple(fc.integer({ min: 900, max: 1200 }), edgeText)
  .map(([length, rest]) => `"pad":["${'p'.repeat(length)}","${rest}"]`);

const document = fc
  .record({
    members: fc.array(member, { maxLength: 6 }),
    model: fc.option(modelMember, { freq: 8 }),
    position: fc.nat({ max: 6 }),
    pad: fc.option(longMember, { freq: 2 }),
  })
  .map(({ members, model, position, pad }) => {
    const named = model === null ? members : members.toSpliced(position, 0, model);
    const all = pad === null ? named : named.toSpliced(position, 0, pad);
    return `{${all.join(',')}}`;
  });

/** What goes wrong around a document: cut off, continued, marked, changed by a byte. */
const damage = fc.oneof(
  { weight: 9, arbitrary: fc.constant((body: string) => body) },
  { weight: 1, arbitrary: space.map((around) => (body: string) => around + body + around) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('\0', '{"model":"b"}', ' x', '}', '\0{"model":"b"}', '\ufeff')
      .map((after) => (body: string) => body + toBinary(after)),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('\xef\xbb\xbf', '\0', '[', ',', '\xff\xfe')
      .map((before) => (body: string) => before + body),
  },
  { weight: 1, arbitrary: fc.nat().map((at) => (body: string) => body.slice(0, at % (body.length + 1))) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.nat(), fc.nat({ max: 255 })).map(([at, byte]) => (body: string) => {
      const position = at % (body.length + 1);
      return body.slice(0, position) + String.fromCharCode(byte) + body.slice(position + 1);
    }),
  },
);

/** Request bodies, good and bad: strange keys and spellings, escapes, cuts at every edge, NULs, bytes that are not UTF-8. */
export function arbitraryBody(): fc.Arbitrary<Uint8Array> {
  return fc.tuple(document, damage).map(([body, spoil]) => fromBinary(spoil(body)));
}
