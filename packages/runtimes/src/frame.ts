/*
 * The protocol between a runtime's parent and its child, on file descriptor 3 of the child, a socket of its own so that
 * whatever native code prints cannot corrupt it. A frame is
 *
 *   uint32 header length, little-endian | header, JSON | the bytes of each part
 *
 * where the header's `parts` lists the length of each tensor, or of the model file, that follows. Those of a frame marked `shared` do not
 * follow but stand in the memory that both sides share (shared-tensors.ts). The parent has one request in flight; the
 * child answers each with one frame, after a first frame of its own that says it is ready.
 */
import type { ModelPlan } from './model-plan.ts'
import type { RuntimeErrorCode } from './runtime-error.ts'
import type { WeightCache } from './weight-cache.ts'

export const channelFd = 3
export const maxHeaderBytes = 16 * 1024 * 1024

export type Request =
  | {
      id: number
      parts: number[]
      op: 'load'
      modelId: string
      plan: ModelPlan
      path?: string
      threads: number
      weightCache?: WeightCache
    }
  | { id: number; parts: number[]; op: 'unload'; modelId: string }
  | {
      id: number
      parts: number[]
      op: 'invoke'
      modelId: string
      signature: number
      shared?: boolean
      capacity: number
    }
  | { id: number; parts: number[]; op: 'stats' }

export type Reply =
  | {
      id: number
      parts: number[]
      ok: true
      shared?: boolean
      version?: string
      accelerators?: readonly string[]
      loadMs?: number
      /** Of each signature in the plan's order: its outputs' shapes, or why the runtime does not run it. */
      signatures?: ({ outputs: number[][] } | { refused: string })[]
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
  const frame = Buffer.allocUnsafe(4 + json.length)
  frame.writeUInt32LE(json.length, 0)
  json.copy(frame, 4)
  return frame
}

/**
 * Takes the chunks of a stream and gives whole frames. Each part gets memory of its own, so that typed arrays can stand
 * on it, and every byte of a part is copied once.
 */
export class FrameReader {
  readonly #onFrame: (header: Reply, parts: Uint8Array[]) => void
  #target: Buffer = Buffer.alloc(4)
  #filled = 0
  #state: 'length' | 'header' | 'parts' = 'length'
  #header: Reply | undefined
  #parts: Buffer[] = []
  #next = 0

  constructor(onFrame: (header: Reply, parts: Uint8Array[]) => void) {
    this.#onFrame = onFrame
  }

  /** @throws Error when the stream does not hold frames. */
  push(chunk: Buffer): void {
    let offset = 0
    while (offset < chunk.length) {
      const taken = chunk.copy(this.#target, this.#filled, offset)
      offset += taken
      this.#filled += taken
      if (this.#filled === this.#target.length) this.#advance()
    }
  }

  #advance(): void {
    if (this.#state === 'length') {
      const length = this.#target.readUInt32LE(0)
      if (length === 0 || length > maxHeaderBytes) throw new Error(`a header of ${length} bytes`)
      this.#expect('header', Buffer.allocUnsafe(length))
      return
    }
    if (this.#state === 'header') {
      const header = JSON.parse(this.#target.toString()) as Reply
      this.#header = header
      const following = header.ok && header.shared === true ? [] : header.parts
      this.#parts = following.map((length) => Buffer.allocUnsafeSlow(length))
      this.#next = 0
    }
    const part = this.#parts[this.#next]
    if (part !== undefined) {
      this.#next += 1
      this.#expect('parts', part)
      return
    }
    const { header, parts } = { header: this.#header, parts: this.#parts }
    this.#expect('length', Buffer.allocUnsafe(4))
    if (header !== undefined) this.#onFrame(header, parts)
  }

  #expect(state: 'length' | 'header' | 'parts', target: Buffer): void {
    this.#state = state
    this.#target = target
    this.#filled = 0
  }
}
