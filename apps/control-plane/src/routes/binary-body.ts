import { type JobRequest, SkerryError } from '@skerry/contracts'
import type { GivenJob } from '@skerry/engine'

/**
 * A job in the binary form of the Open Inference Protocol V2: a JSON header of `Inference-Header-Content-Length` bytes,
 * then the raw tensors of the inputs whose `parameters.binary_data_size` says how many bytes are theirs, in order.
 */
export class BinaryBody {
  readonly header: unknown
  readonly #tensors: Buffer
  constructor(header: unknown, tensors: Buffer) {
    this.header = header
    this.#tensors = tensors
  }

  /** Gives each binary input its bytes; `job` is the header after validation. */
  attach(job: JobRequest): GivenJob {
    let at = 0
    const inputs = job.inputs.map((input) => {
      const { parameters, ...tensor } = input as typeof input & { parameters?: { binary_data_size?: unknown } }
      const size = parameters?.binary_data_size
      if (size === undefined) return tensor
      if (!Number.isInteger(size) || (size as number) < 0 || at + (size as number) > this.#tensors.length)
        throw new SkerryError(
          'input-mismatch',
          `Input ${input.name}: the body does not hold binary_data_size bytes for it`
        )
      const bytes = this.#tensors.subarray(at, at + (size as number))
      at += size as number
      return { ...tensor, bytes }
    })
    if (at !== this.#tensors.length)
      throw new SkerryError(
        'input-mismatch',
        `${this.#tensors.length - at} bytes after the last tensor belong to no input`
      )
    return { ...job, inputs }
  }
}

export const isBinaryBody = (body: unknown): body is BinaryBody => body instanceof BinaryBody

export function parseBinaryBody(body: Buffer, headerLength: string | string[] | undefined): BinaryBody {
  const length = Number(headerLength)
  if (headerLength === undefined || !Number.isInteger(length) || length < 2 || length > body.length)
    throw new SkerryError(
      'invalid-request',
      'Inference-Header-Content-Length says how many bytes of the body are its JSON'
    )
  try {
    return new BinaryBody(JSON.parse(body.toString('utf8', 0, length)), body.subarray(length))
  } catch (cause) {
    throw new SkerryError('invalid-json', 'The first part of the body is not JSON', { cause })
  }
}
