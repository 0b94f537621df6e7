import { readFile } from 'node:fs/promises'
import {
  compareGolden,
  decodeGoldenInputs,
  decodeGoldenOutputs,
  type GoldenDifference,
  type GoldenOutputs,
  goldenInput
} from '@skerry/converter/goldens'
import type { ModelSession, SessionOutput, SessionResult, TensorData } from '@skerry/runtimes'
import { AgentError } from '../agent-error.ts'
import { sha256Of } from '../blob-client.ts'
import type { Unit } from '../plan.ts'
import { convertArray, datatypeOf } from '../tensor-values.ts'
import type { StepDeps } from './step-deps.ts'

type Goldens = { inputs: Map<string, TensorData>[]; outputs: GoldenOutputs }

/**
 * Runs the golden inputs and compares the answers with what this very variant answered where it was converted. Throws
 * `golden-mismatch`, naming output and difference. A manifest without goldens has nothing to compare with.
 */
export async function check(unit: Unit, deps: StepDeps, signal: AbortSignal): Promise<void> {
  const { session } = await deps.host.model(unit.id)
  const goldens = await readGoldens(unit, session, deps)
  if (goldens === null) return
  for (const [index, inputs] of goldens.inputs.entries()) {
    const outputs = comparable((await deps.host.run(unit.id, inputs, signal)).outputs)
    // TensorFlow.js's native runtime is of a time before XNNPACK; the others compute with it, so the narrow tolerance holds.
    const kernels = unit.runtime === 'tfjs-tflite-node' ? 'reference' : 'xnnpack'
    const { passed, outputs: differences } = compareGolden(goldens.outputs, index, outputs, { kernels })
    if (!passed) throw new AgentError('golden-mismatch', mismatchWords(unit, index, differences))
  }
}

/** The first golden input, for a benchmark: real data, since some kernels are faster on zeros. null without goldens. */
export async function firstGoldenInput(
  unit: Unit,
  session: Pick<ModelSession, 'inputs'>,
  deps: StepDeps
): Promise<Map<string, TensorData> | null> {
  return (await readGoldens(unit, session, deps))?.inputs[0] ?? null
}

async function readGoldens(
  { manifest: { goldenInputs, goldenOutputs } }: Unit,
  session: Pick<ModelSession, 'inputs'>,
  { cache }: StepDeps
): Promise<Goldens | null> {
  if (goldenInputs === undefined || goldenOutputs === undefined) return null
  const inputs = decodeGoldenInputs(await readWhole(cache, goldenInputs))
  const outputs = decodeGoldenOutputs(await readWhole(cache, goldenOutputs))
  if (inputs.count !== outputs.count) {
    throw new AgentError('golden-mismatch', `There are ${inputs.count} golden inputs and ${outputs.count} answers.`)
  }
  const samples = Array.from({ length: inputs.count }, (_, index) => {
    const sample = goldenInput(inputs, index)
    return new Map(
      inputs.tensors.map(({ name, dtype }): [string, TensorData] => {
        const data: TensorData = sample.get(name) ?? new Float32Array(0)
        const wanted = session.inputs.find((spec) => spec.name === name)?.dtype ?? dtype
        return [name, convertArray(data, datatypeOf(dtype), datatypeOf(wanted))]
      })
    )
  })
  return { inputs: samples, outputs }
}

/** A file that rotted on the disk must not condemn the model: it is fetched again. */
async function readWhole(cache: StepDeps['cache'], sha256: string): Promise<Buffer> {
  const bytes = await readFile(cache.path(sha256))
  if (sha256Of(bytes) === sha256) return bytes
  await cache.evict(sha256)
  throw new AgentError('digest-mismatch', 'A golden file on the disk has changed since it was fetched.', {
    retryable: true
  })
}

type Answers = Parameters<typeof compareGolden>[2]

/** Only shared memory tells the two types of arrays apart, and outputs never lie in it. */
function comparable(outputs: SessionResult['outputs']): Answers {
  return outputs as ReadonlyMap<string, SessionOutput> as Answers
}

function mismatchWords({ runtime }: Unit, index: number, differences: readonly GoldenDifference[]): string {
  const wrong = differences.filter(({ passed }) => !passed)
  const words = wrong.map(({ name, difference, tolerance: { unit, value } }) => {
    return `output ${name} is off by ${difference} (${unit}), at most ${value} is allowed`
  })
  return `${runtime} on this device does not answer golden input ${index} as the model should: ${words.join('; ')}.`
}
