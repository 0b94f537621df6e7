import { planBytes } from './model-plan.ts'
import { type SelfTestModel, selfTestModels } from './self-test-models.ts'
import { type Backend, BackendError } from './serve-backend.ts'

/**
 * Runs a model of our own for each element type that the runtime carries, and compares to the bit. A library of another
 * layout, or kernels for another CPU, answer wrongly and say nothing.
 *
 * @throws Error that says which type, what came and what should have come.
 */
export async function selfTest(backend: Backend): Promise<void> {
  for (const model of selfTestModels()) {
    if (backend.dtypes.includes(model.dtype)) await check(backend, model)
  }
}

async function check(backend: Backend, { dtype, file, input, expected }: SelfTestModel): Promise<void> {
  const answer = await run(backend, file, input).catch((error: unknown) => {
    if (!(error instanceof BackendError)) throw error
    throw new Error(`self-test of ${dtype}: ${error.message}`, { cause: error })
  })
  if (Buffer.compare(answer, expected) === 0) return
  const words = `[${answer.join(' ')}] instead of [${expected.join(' ')}]`
  throw new Error(`self-test of ${dtype}: this runtime computes wrongly here; it answers ${words}, byte by byte`)
}

async function run(backend: Backend, file: Uint8Array, input: Uint8Array): Promise<Uint8Array> {
  const model = await backend.load(planBytes(file).plan, file, 1)
  try {
    const signature = model.signatures[0]
    if (signature === undefined || typeof signature === 'string') return new Uint8Array(0)
    signature.inputs()[0]?.set(input)
    return Uint8Array.from(signature.run().outputs[0] ?? [])
  } finally {
    model.unload()
  }
}
