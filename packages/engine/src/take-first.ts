/** Takes the oldest entries out of a map, `limit` at most, and touches no other. */
export function takeFirst<Key, Value>(map: Map<Key, Value>, limit: number): Map<Key, Value> {
  const taken = new Map<Key, Value>()
  for (const [key, value] of map) {
    if (taken.size === limit) break
    taken.set(key, value)
  }
  for (const key of taken.keys()) map.delete(key)
  return taken
}
