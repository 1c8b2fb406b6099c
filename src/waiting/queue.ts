/** A member of a `Queue`; it knows its neighbours, so that it can leave from anywhere. */
export interface Link<T> {
  readonly item: T;
  before: Link<T> | undefined;
  after: Link<T> | undefined;
}

/** First in, first out; anybody may leave at any time, and whoever came earlier may be put back in front. */
export class Queue<T extends { readonly order: number }> {
  first: Link<T> | undefined;
  last: Link<T> | undefined;

  /** Takes its place by `order`: at the end, unless it comes back. */
  add(item: T): Link<T> {
    let before = this.last;
    while (before !== undefined && before.item.order > item.order) before = before.before;
    const link: Link<T> = { item, before, after: before === undefined ? this.first : before.after };
    if (link.before === undefined) this.first = link;
    else link.before.after = link;
    if (link.after === undefined) this.last = link;
    else link.after.before = link;
    return link;
  }

  remove(link: Link<T>): void {
    if (link.before === undefined) this.first = link.after;
    else link.before.after = link.after;
    if (link.after === undefined) this.last = link.before;
    else link.after.before = link.before;
    link.before = undefined;
    link.after = undefined;
  }
}
