/* The child's side of shared tensors: memory in which a runtime takes its inputs and leaves its outputs. */
import { fstatSync, writeSync } from 'node:fs'
import koffi from 'koffi'
import type { Pointer } from './litert-library.ts'

const protReadWrite = 3
const mapShared = 1
const mapFailed = 0xffff_ffff_ffff_ffffn
const alignment = 64
const zeros = new Uint8Array(64 * 1024)

export type MemoryBlock = {
  address: Pointer
  bytes: Uint8Array
  /** Whether the parent sees it too, from the file's beginning. */
  shared: boolean
  release(): void
}

/** Gives blocks of memory that begin at a multiple of 64 bytes, in the file where there is room, else of this process alone. */
export class TensorMemory {
  readonly #fd: number
  readonly #mmap = koffi
    .load(null)
    .func('void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)')
  readonly #allocate = koffi
    .load(null)
    .func('int posix_memalign(_Out_ void **address, size_t alignment, size_t length)')
  readonly #free = koffi.load(null).func('void free(void *address)')
  #mapped: MemoryBlock | undefined

  /** The file must not become shorter. What is no file has no room. */
  constructor(fd: number) {
    this.#fd = fd
  }

  /** Blocks that are shared are the same memory: each is for one inference at a time of all. @throws Error without memory */
  block(length: number): MemoryBlock {
    return this.#shared(length) ?? this.#own(length)
  }

  #shared(length: number): MemoryBlock | undefined {
    if (this.#mapped !== undefined && this.#mapped.bytes.length >= length) return this.#mapped
    if (!reserve(this.#fd, length)) return undefined
    const address = this.#mmap(null, length, protReadWrite, mapShared, this.#fd, 0) as Pointer | null
    if (address === null || BigInt.asUintN(64, address) === mapFailed) return undefined
    // An older, shorter mapping stays: there are as many as models with ever larger tensors.
    this.#mapped = { address, bytes: nativeBytes(address, length), shared: true, release: () => undefined }
    return this.#mapped
  }

  #own(length: number): MemoryBlock {
    const target: [Pointer | null] = [null]
    const status = this.#allocate(target, alignment, length) as number
    const [address] = target
    if (status !== 0 || address === null) throw new Error(`no memory for tensors of ${length} bytes`)
    return { address, bytes: nativeBytes(address, length), shared: false, release: () => this.#free(address) }
  }
}

/**
 * Makes the file as long, if its file system has the room. Zeros are really written: a process that touched a page which
 * is not there yet, and cannot be had, would be killed.
 */
function reserve(fd: number, length: number): boolean {
  try {
    for (let end = fstatSync(fd).size; end < length; ) {
      const piece = Math.min(zeros.length, length - end)
      end += writeSync(fd, zeros, 0, piece, end)
    }
    return fstatSync(fd).size >= length
  } catch {
    // Full, or closed: tensors take the socket.
    return false
  }
}

/** The memory at `address` as bytes; valid as long as that memory is. */
function nativeBytes(address: Pointer, length: number): Uint8Array {
  return new Uint8Array(koffi.view(address, length))
}
