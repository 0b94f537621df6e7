import { Readable } from 'node:stream'
import {
  type FieldProblem,
  type InferenceTensor,
  MAX_FRAME_BYTES,
  SkerryError,
  type TensorDescription
} from '@skerry/contracts'
import type { InferencePayload, StoredTensor } from '@skerry/registry'
import type { EngineResources } from '../resources.ts'
import { byteLength, encodeTensor } from '../tensor-codec.ts'

/** All inline tensors of a job travel in one frame, which has room for their headers besides. */
const MAX_INLINE_BYTES = MAX_FRAME_BYTES - 131_072

/** An input as it came: JSON data, a blob's name, or the raw bytes of the binary form. */
export type GivenTensor = InferenceTensor & { bytes?: Uint8Array }

/** The inline tensors' bytes, in the order of `tensors`; those of the others lie in blobs. */
export type StoredInputs = { tensors: StoredTensor[]; inline: Uint8Array | null }

/** Turns an inference's inputs into what a frame can carry. */
export class InferenceInputs {
  readonly #resources: EngineResources

  constructor(resources: EngineResources) {
    this.#resources = resources
  }

  /**
   * Tensors of more than `inlineBytes` bytes, and what has no room in a frame beside the others, are stored as blobs.
   * Throws SkerryError: input-mismatch, blob-unknown.
   */
  async store(given: readonly GivenTensor[], inlineBytes: number): Promise<StoredInputs> {
    const tensors: StoredTensor[] = []
    const inline: Uint8Array[] = []
    let total = 0
    for (const [i, tensor] of given.entries()) {
      const { name, datatype, shape } = tensor
      const bytes = byteLength(datatype, shape)
      if (tensor.blob !== undefined) {
        await this.#checkBlob(tensor.blob, bytes, name)
        tensors.push({ name, datatype, shape, bytes, blob: tensor.blob })
        continue
      }
      const encoded = tensor.bytes ?? encodeTensor({ ...tensor, data: tensor.data ?? [] }, `/inputs/${i}`)
      if (encoded.byteLength !== bytes)
        throw new SkerryError(
          'input-mismatch',
          `Input ${name}: its shape takes ${bytes} bytes, ${encoded.byteLength} came`
        )
      if (encoded.byteLength <= inlineBytes && total + encoded.byteLength <= MAX_INLINE_BYTES) {
        inline.push(encoded)
        total += encoded.byteLength
        tensors.push({ name, datatype, shape, bytes })
      } else {
        const { sha256 } = await this.#resources.blobs.put(Readable.from([encoded]))
        tensors.push({ name, datatype, shape, bytes, blob: sha256 })
      }
    }
    return { tensors, inline: inline.length === 0 ? null : Buffer.concat(inline) }
  }

  async #checkBlob(sha256: string, bytes: number, name: string): Promise<void> {
    const blob = await this.#resources.blobs.stat(sha256)
    if (blob === null) throw new SkerryError('blob-unknown', `Input ${name}: no blob ${sha256}; PUT it first`)
    if (blob.bytes !== bytes)
      throw new SkerryError(
        'input-mismatch',
        `Input ${name}: its shape takes ${bytes} bytes, the blob has ${blob.bytes}`
      )
  }
}

/** What a device is to answer. Throws `input-mismatch` for strings. */
export function runnableOutput({ name, datatype }: TensorDescription): InferencePayload['outputs'][number] {
  if (datatype !== 'BYTES') return { name, datatype }
  throw new SkerryError('input-mismatch', `Output ${name} holds strings, which no runtime here gives`)
}

/** Throws `input-mismatch` that names each place. */
export function checkInputs(given: readonly GivenTensor[], expected: readonly TensorDescription[]): void {
  const fields: FieldProblem[] = []
  const names = expected.map((tensor) => tensor.name).join(', ')
  for (const [i, tensor] of given.entries()) {
    const pointer = `/inputs/${i}`
    const spec = expected.find((candidate) => candidate.name === tensor.name)
    if (spec === undefined) {
      fields.push({ pointer: `${pointer}/name`, detail: `the model has no input ${tensor.name}; it has ${names}` })
      continue
    }
    if (given.findIndex((other) => other.name === tensor.name) !== i)
      fields.push({ pointer: `${pointer}/name`, detail: `input ${tensor.name} is given twice` })
    if (tensor.datatype !== spec.datatype)
      fields.push({
        pointer: `${pointer}/datatype`,
        detail: `input ${tensor.name} is ${spec.datatype}, not ${tensor.datatype}`
      })
    if (!shapeFits(tensor.shape, spec.shape))
      fields.push({
        pointer: `${pointer}/shape`,
        detail: `input ${tensor.name} has shape [${spec.shape.map((n) => (n === -1 ? 1 : n))}] (a job is one sample), not [${tensor.shape}]`
      })
    if ([tensor.data, tensor.blob, tensor.bytes].filter((form) => form !== undefined).length !== 1)
      fields.push({ pointer, detail: `input ${tensor.name} needs either data or blob` })
  }
  for (const spec of expected)
    if (!given.some((tensor) => tensor.name === spec.name))
      fields.push({ pointer: '/inputs', detail: `input ${spec.name} is missing` })
  if (fields.length > 0)
    throw new SkerryError('input-mismatch', fields.map((field) => field.detail).join('; '), { fields })
}

/** Variants are converted with a fixed batch of 1, so an open dimension is 1. */
const shapeFits = (given: readonly number[], expected: readonly number[]): boolean =>
  given.length === expected.length && expected.every((n, i) => given[i] === (n === -1 ? 1 : n))
