/** Smaller ones are not worth it, and may lie in a pool that others use. */
const LEAST_BYTES = 1 << 20

/**
 * Frees the memory of bytes that nobody needs any more, which are empty from then on. An idle process allocates too
 * little for a garbage collection ever to come: a file that was read once would count as its memory for as long as it
 * runs. What is handed to a channel that closes is freed with it.
 */
export function releaseBuffer(bytes: Uint8Array): void {
  const { buffer } = bytes
  if (bytes.byteLength < LEAST_BYTES || bytes.byteLength < buffer.byteLength || !(buffer instanceof ArrayBuffer)) return
  const { port1, port2 } = new MessageChannel()
  port1.postMessage(buffer, [buffer])
  port2.close()
  port1.close()
}
