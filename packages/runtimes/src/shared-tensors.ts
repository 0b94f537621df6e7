import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'

/** The child's descriptor of the file that holds shared tensors. */
export const sharedFd = 4

const alignment = 64
// Below this a socket is as quick.
const leastBytes = 16 * 1024
const zeros = new Uint8Array(64 * 1024)

/** Where each tensor begins in the file, and where the last one ends. */
export function sharedLayout(lengths: readonly number[]): { offsets: number[]; bytes: number } {
  let bytes = 0
  const offsets = lengths.map((length) => {
    const offset = bytes
    bytes += Math.ceil(length / alignment) * alignment
    return offset
  })
  return { offsets, bytes }
}

/** Whether tensors of these lengths should go through shared memory that has room for `capacity` bytes. */
export function worthSharing(lengths: readonly number[], capacity: number): boolean {
  const { bytes } = sharedLayout(lengths)
  return bytes >= leastBytes && bytes <= capacity
}

/**
 * Memory through which a call's tensors cross: a nameless file in a file system that is memory, written and read here,
 * mapped in the child. Inputs stand from its beginning; once the child has taken them, outputs do. Through a socket,
 * tensors cross in pieces of its buffer, with a change of process for each.
 */
export class SharedTensors {
  readonly fd: number
  #capacity = 0

  /** Undefined where there is no such file system. */
  static create(pid: number, unique: string): SharedTensors | undefined {
    const name = `/dev/shm/skerry-${pid}-${unique}`
    try {
      const fd = openSync(name, 'wx+', 0o600)
      unlinkSync(name)
      return new SharedTensors(fd)
    } catch {
      return undefined
    }
  }

  private constructor(fd: number) {
    this.fd = fd
  }

  /**
   * Makes room for tensors of these lengths, if the file system has it. Zeros are really written: a child that touched
   * a page which is not there yet, and cannot be had, would be killed.
   */
  reserve(lengths: readonly number[]): void {
    const { bytes } = sharedLayout(lengths)
    try {
      while (this.#capacity < bytes) {
        const piece = zeros.subarray(0, Math.min(zeros.length, bytes - this.#capacity))
        this.#capacity += writeSync(this.fd, piece, 0, piece.length, this.#capacity)
      }
    } catch {
      // Full: what does not fit takes the socket.
      return
    }
  }

  get capacity(): number {
    return this.#capacity
  }

  write(tensors: readonly Uint8Array[]): void {
    const { offsets } = sharedLayout(tensors.map((tensor) => tensor.byteLength))
    for (const [index, tensor] of tensors.entries()) {
      const written = writeSync(this.fd, tensor, 0, tensor.byteLength, offsets[index])
      if (written !== tensor.byteLength) throw new Error(`${written} of ${tensor.byteLength} bytes written`)
    }
  }

  read(lengths: readonly number[]): Uint8Array[] {
    const { offsets } = sharedLayout(lengths)
    return lengths.map((length, index) => {
      const tensor = Buffer.allocUnsafeSlow(length)
      const count = readSync(this.fd, tensor, 0, length, offsets[index] ?? 0)
      if (count !== length) throw new Error(`${count} of ${length} bytes read`)
      return tensor
    })
  }

  close(): void {
    closeSync(this.fd)
  }
}
