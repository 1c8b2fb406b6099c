/** The object, but for some of its methods; the others see the object itself, whose fields may be private. */
export function overriding<T extends object>(of: T, methods: Partial<T>): T {
  return new Proxy(of, {
    get(target, name) {
      if (Object.hasOwn(methods, name)) return Reflect.get(methods, name) as unknown;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
