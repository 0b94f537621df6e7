/*
 * The protocol between a runtime's parent and its child, on file descriptor 3 of the child, a socket of its own so that
 * whatever native code prints cannot corrupt it. A frame is
 *
 *   head, 16 bytes | header, JSON | the bytes of each part
 *
 * where the header's `parts` lists the length of each tensor, or of the model file, that follows. An inference and its
 * answer have no header, for they come often and say little: all is in the head, and both sides know the lengths of a
 * signature's tensors since the model was loaded. Tensors in the memory that both sides share do not follow
 * (shared-tensors.ts). The parent has one request in flight; the child answers each with one frame, after a first frame
 * of its own that says it is ready.
 */
import type { ModelPlan } from './model-plan.ts'
import type { RuntimeErrorCode } from './runtime-error.ts'
import type { WeightCache } from './weight-cache.ts'

export const channelFd = 3
export const headBytes = 16
const maxHeaderBytes = 16 * 1024 * 1024

/**
 * What each frame begins with, in this machine's byte order:
 *
 *   uint32 bytes of the header that follows, 0 for an inference | uint32 id |
 *   of a request for an inference: uint32 model | uint32 signature; of its answer: float64 milliseconds
 */
export class Head {
  readonly bytes: Buffer
  readonly #words: Uint32Array
  readonly #reals: Float64Array

  /** On the first bytes of `memory`. */
  constructor(memory: ArrayBuffer = new ArrayBuffer(headBytes)) {
    this.bytes = Buffer.from(memory, 0, headBytes)
    this.#words = new Uint32Array(memory, 0, headBytes / Uint32Array.BYTES_PER_ELEMENT)
    this.#reals = new Float64Array(memory, 0, headBytes / Float64Array.BYTES_PER_ELEMENT)
  }

  /** @throws Error for more than a header ever is: the stream then holds something else. */
  get headerLength(): number {
    const length = this.#words[0] ?? 0
    if (length > maxHeaderBytes) throw new Error(`a header of ${length} bytes`)
    return length
  }

  get id(): number {
    return this.#words[1] ?? 0
  }

  get model(): number {
    return this.#words[2] ?? 0
  }

  get signature(): number {
    return this.#words[3] ?? 0
  }

  get inferenceMs(): number {
    return this.#reals[1] ?? 0
  }

  setRequest(id: number, model: number, signature: number): void {
    this.#words[0] = 0
    this.#words[1] = id
    this.#words[2] = model
    this.#words[3] = signature
  }

  setAnswer(id: number, inferenceMs: number): void {
    this.#words[0] = 0
    this.#words[1] = id
    this.#reals[1] = inferenceMs
  }

  setHeader(id: number, headerLength: number): void {
    this.#words[0] = headerLength
    this.#words[1] = id
  }
}

export type Request =
  | {
      id: number
      parts: number[]
      op: 'load'
      model: number
      plan: ModelPlan
      path?: string
      threads: number
      weightCache?: WeightCache
    }
  | { id: number; parts: number[]; op: 'unload'; model: number }
  | { id: number; parts: number[]; op: 'stats' }

export type Reply =
  | {
      id: number
      parts: number[]
      ok: true
      version?: string
      accelerators?: readonly string[]
      loadMs?: number
      /**
       * Of each signature in the plan's order: its outputs' shapes and whether its tensors stand in shared memory, or why
       * the runtime does not run it.
       */
      signatures?: ({ outputs: number[][]; shared: boolean } | { refused: string })[]
      inferenceMs?: number
      rssBytes?: number
      peakRssBytes?: number
    }
  | { id: number; parts: number[]; ok: false; code: RuntimeErrorCode; message: string }

/** The id of the frame by which a child says that its runtime is ready. */
export const readyId = 0

/**
 * The line that a child writes to stderr before a reply that reports an error. The two arrive by different ways; once
 * the parent has seen the line, it has everything that the runtime printed about the error.
 */
export function stderrMarker(id: number): string {
  return `skerry-runtime: end of call ${id}`
}

export function encodeHeader(header: Request | Reply): Buffer {
  const json = Buffer.from(JSON.stringify(header))
  const head = new Head()
  head.setHeader(header.id, json.length)
  return Buffer.concat([head.bytes, json])
}

/**
 * Takes the chunks of a stream and gives whole frames. Each part gets memory of its own, so that typed arrays can stand
 * on it, and every byte of a part is copied once.
 */
export class FrameReader {
  readonly #onFrame: (header: Reply, parts: Uint8Array[]) => void
  readonly #lengthsOf: (id: number) => readonly number[]
  readonly #head = new Head()
  #target: Buffer = this.#head.bytes
  #filled = 0
  #state: 'head' | 'header' | 'parts' = 'head'
  #header: Reply | undefined
  #parts: Buffer[] = []
  #next = 0

  /** `lengthsOf` tells of an inference what follows its answer, and throws when it was not made. */
  constructor(onFrame: (header: Reply, parts: Uint8Array[]) => void, lengthsOf: (id: number) => readonly number[]) {
    this.#onFrame = onFrame
    this.#lengthsOf = lengthsOf
  }

  /** @throws Error when the stream does not hold frames. */
  push(chunk: Buffer): void {
    let offset = 0
    while (offset < chunk.length) {
      const taken = chunk.copy(this.#target, this.#filled, offset)
      offset += taken
      this.#filled += taken
      while (this.#filled === this.#target.length) this.#advance()
    }
  }

  #advance(): void {
    if (this.#state === 'head') {
      const { headerLength, id, inferenceMs } = this.#head
      if (headerLength > 0) {
        this.#expect('header', Buffer.allocUnsafe(headerLength))
        return
      }
      this.#follow({ id, parts: [], ok: true, inferenceMs }, this.#lengthsOf(id))
    } else if (this.#state === 'header') {
      const header = JSON.parse(this.#target.toString()) as Reply
      this.#follow(header, header.parts)
    }
    const part = this.#parts[this.#next]
    if (part !== undefined) {
      this.#next += 1
      this.#expect('parts', part)
      return
    }
    const { header, parts } = { header: this.#header, parts: this.#parts }
    this.#expect('head', this.#head.bytes)
    if (header !== undefined) this.#onFrame(header, parts)
  }

  #follow(header: Reply, lengths: readonly number[]): void {
    this.#header = header
    this.#parts = lengths.map((length) => Buffer.allocUnsafeSlow(length))
    this.#next = 0
  }

  #expect(state: 'head' | 'header' | 'parts', target: Buffer): void {
    this.#state = state
    this.#target = target
    this.#filled = 0
  }
}
