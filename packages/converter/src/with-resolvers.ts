export type Resolvers = { promise: Promise<void>; resolve: () => void; reject: (reason: unknown) => void }

/** Promise.withResolvers, which Node 20 lacks. */
export function withResolvers(): Resolvers {
  let settle: Omit<Resolvers, 'promise'> | undefined
  const promise = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject }
  })
  if (settle === undefined) throw new TypeError('A promise calls its executor at once.')
  return { promise, ...settle }
}
