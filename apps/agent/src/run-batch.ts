import type { ModelSession, SessionOutput, SessionResult, TensorData } from '@skerry/runtimes'
import { elementCount } from '@skerry/tflite'

export type RunOnce = (inputs: ReadonlyMap<string, TensorData>) => Promise<SessionResult>

/**
 * Runs a model whose file has a fixed batch on inputs whose first dimension is a multiple of it, part by part, and
 * joins the outputs along their first dimension. Inputs that fit as they are go in one run; what fits neither way is
 * left to the session, which says what is wrong with it.
 */
export async function runBatch(
  session: Pick<ModelSession, 'inputs'>,
  inputs: ReadonlyMap<string, TensorData>,
  run: RunOnce
): Promise<SessionResult> {
  const parts = partsOf(session, inputs)
  if (parts <= 1) return run(inputs)
  const results: SessionResult[] = []
  for (let part = 0; part < parts; part++) {
    results.push(await run(new Map([...inputs].map(([name, data]) => [name, slice(data, part, parts)]))))
  }
  const sum = (of: (result: SessionResult) => number): number => results.reduce((total, each) => total + of(each), 0)
  return {
    outputs: join(results),
    timings: {
      quantizeMs: sum(({ timings }) => timings.quantizeMs),
      inferenceMs: sum(({ timings }) => timings.inferenceMs),
      dequantizeMs: sum(({ timings }) => timings.dequantizeMs)
    }
  }
}

function partsOf({ inputs: specs }: Pick<ModelSession, 'inputs'>, inputs: ReadonlyMap<string, TensorData>): number {
  const counts = new Set<number>()
  for (const { name, shape } of specs) {
    const data = inputs.get(name)
    const elements = elementCount(shape)
    if (data === undefined || shape.length === 0 || elements === 0) return 1
    counts.add(data.length / elements)
  }
  const [parts, ...others] = counts
  return parts !== undefined && others.length === 0 && Number.isInteger(parts) ? parts : 1
}

function slice(data: TensorData, part: number, parts: number): TensorData {
  const elements = data.length / parts
  return data.subarray(part * elements, (part + 1) * elements)
}

function join(results: readonly SessionResult[]): Map<string, SessionOutput> {
  const joined = new Map<string, SessionOutput>()
  for (const [name, { dtype, shape, data }] of results[0]?.outputs ?? []) {
    const pieces = results.map(({ outputs }) => {
      const piece = outputs.get(name)?.data ?? data
      return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    })
    const bytes = new Uint8Array(Buffer.concat(pieces)).buffer
    const whole = new (data.constructor as new (buffer: ArrayBuffer) => TensorData)(bytes)
    const [rows = 1, ...rest] = shape
    joined.set(name, { dtype, shape: [rows * results.length, ...rest], data: whole })
  }
  return joined
}
