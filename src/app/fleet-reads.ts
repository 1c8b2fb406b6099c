/** Questions about the whole fleet that are answered from the snapshot, without asking a node. */
export interface FleetReads {
  /**
   * `path` has no query string, `query` no question mark. Undefined where it is no such question: an inference path,
   * or one that nobody may ask. Synchronous and quick: it runs on the request path.
   */
  read(method: string, path: string, query: string): ReadReply | undefined;
}

export interface ReadReply {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}
