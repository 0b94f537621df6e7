import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'

/** The child's descriptor of the file that holds shared tensors. */
export const sharedFd = 4

const alignment = 64
/** Kernels that work on many elements at once may read as far past a tensor's end; what they find there does not matter. */
const overrunBytes = 128
/** Below this a socket is as quick. */
export const leastSharedBytes = 16 * 1024

/** Where each tensor of a signature begins in its memory, and how much memory that is. */
export type TensorPlaces = { inputs: number[]; outputs: number[]; bytes: number }

/** Both sides count it for themselves. Inputs and outputs stand side by side: a model reads the ones while it writes the others. */
export function placeTensors(inputLengths: readonly number[], outputLengths: readonly number[]): TensorPlaces {
  let bytes = 0
  const place = (length: number): number => {
    const offset = bytes
    bytes += Math.ceil(length / alignment) * alignment
    return offset
  }
  const [inputs, outputs] = [inputLengths.map(place), outputLengths.map(place)]
  return { inputs, outputs, bytes: bytes + overrunBytes }
}

/** Whether tensors of these lengths, all inputs or all outputs of a signature in shared memory, cross by it. */
export function worthSharing(lengths: readonly number[]): boolean {
  return lengths.reduce((sum, length) => sum + length, 0) >= leastSharedBytes
}

/**
 * Memory through which a call's tensors cross: a nameless file in a file system that is memory. It is written and read
 * here; the child gives it its size and maps it, and its runtime works on that memory itself. All models use it from its
 * beginning, one call after another. Through a socket, tensors cross in pieces of its buffer, with a change of process
 * for each.
 */
export class SharedTensors {
  readonly fd: number

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

  write(tensors: readonly Uint8Array[], offsets: readonly number[]): void {
    for (const [index, tensor] of tensors.entries()) {
      const written = writeSync(this.fd, tensor, 0, tensor.byteLength, offsets[index])
      if (written !== tensor.byteLength) throw new Error(`${written} of ${tensor.byteLength} bytes written`)
    }
  }

  /** Copies, which stay what they are when the next call comes. */
  read(lengths: readonly number[], offsets: readonly number[]): Uint8Array[] {
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
