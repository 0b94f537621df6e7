/** Parts the items so that no two of one key are in the same round, in their order: a statement takes a row once. */
export function distinctRounds<Item>(items: readonly Item[], keyOf: (item: Item) => string): Item[][] {
  const rounds: Item[][] = []
  const seen = new Map<string, number>()
  for (const item of items) {
    const key = keyOf(item)
    const round = seen.get(key) ?? 0
    seen.set(key, round + 1)
    const own = rounds[round] ?? []
    rounds[round] = own
    own.push(item)
  }
  return rounds
}
