/** A copy twice as long, or as long as `length` asks for; the same array when it is long enough. */
export function grown<A extends Float32Array | Float64Array | Int8Array | Int32Array | Uint8Array | Uint32Array>(
  array: A,
  length: number
): A {
  if (array.length >= length) return array
  const longer = new (array.constructor as new (length: number) => A)(Math.max(2 * array.length, length))
  longer.set(array)
  return longer
}
