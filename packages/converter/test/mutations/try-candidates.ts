import path from 'node:path'
import { readLabels } from '../../src/accuracy.ts'
import { toNumbers } from '../../src/array.ts'
import { type Evidence, outputSamples } from '../../src/evidence.ts'
import { compareTrial } from '../../src/prove.ts'
import type { TrialRuntime } from '../../src/trial.ts'
import type { Parity, VariantState } from '../../src/types.ts'
import { readVariantFile } from '../../src/variant-file.ts'
import { stateOf } from '../../src/verdict.ts'
import { findHarm, type GroundTruth } from './ground-truth.ts'
import { type Candidate, type DataSet, type MadeModel, readDataSet, readFaultyInputs } from './made-model.ts'

export type Judgement = { state: VariantState; reason?: string; parity: Parity }

export type Row = Candidate & {
  model: string
  truth: GroundTruth
  /** The judge with everything; undefined for models without labels. */
  labelled?: Judgement
  /** The judge without labels: SNR, agreement and maximum error alone. */
  unlabelled: Judgement
  /** The judge with nothing but generated inputs. */
  generated: Judgement
}

/**
 * Runs every candidate of a model, judges it three ways, and finds out on the large set what is true.
 *
 * @param large at most so many samples of the large set, for tests that are in a hurry.
 */
export async function tryCandidates(
  model: MadeModel,
  runtime: TrialRuntime,
  options: { large?: number; choose?: (candidate: Candidate) => boolean; onRow?: (row: Row) => void } = {}
): Promise<Row[]> {
  const evaluation = await readDataSet(model, 'evaluation')
  const large = await readDataSet(model, 'large')
  const probes = await readDataSet(model, 'probes')
  const limited = options.large === undefined ? large : firstOf(large, options.large)
  const rows: Row[] = []
  for (const candidate of model.candidates) {
    if (options.choose?.(candidate) === false) continue
    const row = await tryOne(model, candidate, runtime, { evaluation, large: limited, probes })
    options.onRow?.(row)
    rows.push(row)
  }
  return rows
}

type Data = { evaluation: DataSet; large: DataSet; probes: DataSet }

async function tryOne(model: MadeModel, candidate: Candidate, runtime: TrialRuntime, data: Data): Promise<Row> {
  const file = path.join(model.folder, candidate.file)
  const { operators } = (await readVariantFile(file)).model
  const evidence = evidenceOf(model, data.evaluation, 'uploaded', data.probes)
  const given = async (name: 'evaluation' | 'large') => {
    if (candidate.data === undefined) return data[name].samples
    const changed = await readFaultyInputs(model, name, candidate.data)
    return firstOf({ ...data[name], samples: changed }, data[name].samples[0]?.shape[0] ?? 0).samples
  }
  const run = (samples: DataSet['samples'], others?: DataSet['samples']) =>
    runtime.run(file, operators, evidence.names, samples, () => undefined, others)
  const trial = await run(await given('evaluation'), data.probes.samples)
  if ('refused' in trial) return refusedRow(model, candidate, evidence, trial.refused)
  const whole = await run(await given('large'))
  if ('refused' in whole) throw new Error(`${candidate.file}: ${whole.refused}`)
  const { outputs } = whole
  const generated = evidenceOf(model, data.probes, 'generated')
  const probed = { loaded: trial.loaded, outputs: Array.isArray(trial.probes) ? trial.probes : [] }
  const labels = model.measure === 'accuracy' ? labelsOf(data.evaluation) : {}
  return {
    ...candidate,
    model: model.name,
    truth: findHarm(model, candidate.variant, data.large, outputs),
    ...(model.measure === 'accuracy' ? { labelled: judged(candidate, { ...evidence, ...labels }, trial) } : {}),
    unlabelled: judged(candidate, evidence, trial),
    generated: judged(candidate, generated, probed)
  }
}

/** Nothing can run it, so that it is placed nowhere: what proveVariant makes of it. */
function refusedRow({ name, measure }: MadeModel, candidate: Candidate, evidence: Evidence, reason: string): Row {
  const parity = { reference: evidence.referenceName, data: evidence.data, samples: 0, outputs: [], passed: false }
  const judgement: Judgement = { state: 'unproven', reason, parity }
  return {
    ...candidate,
    model: name,
    truth: { harm: 'harmful', why: 'no runtime takes it', original: Number.NaN, candidate: Number.NaN },
    ...(measure === 'accuracy' ? { labelled: judgement } : {}),
    unlabelled: judgement,
    generated: judgement
  }
}

function judged({ variant }: Candidate, evidence: Evidence, trial: Parameters<typeof compareTrial>[2]): Judgement {
  const verdict = compareTrial(variant, evidence, trial)
  return { ...stateOf(verdict), parity: verdict.parity }
}

/** @param probes generated inputs beside uploaded data. */
export function evidenceOf(
  { inputs, outputs }: MadeModel,
  { samples, reference }: DataSet,
  data: Evidence['data'],
  probes?: DataSet
): Evidence {
  const same = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, name]))
  return {
    names: { inputs: same(inputs), outputs: same(outputs) },
    samples,
    reference,
    referenceName: 'keras',
    data,
    golden: [],
    ...(probes === undefined ? {} : { probes })
  }
}

/** As an upload has them: `y` of the first output. */
function labelsOf({ reference, truth }: DataSet): Pick<Evidence, 'labels'> {
  const [first] = reference
  const y = truth.get(first?.name ?? '')
  if (first === undefined || y === undefined) throw new Error('no labels')
  const labels = readLabels(toNumbers(y.dtype, y.data), y.shape, outputSamples(first))
  if (typeof labels === 'string') throw new Error(labels)
  return { labels }
}

function firstOf({ samples, reference, truth }: DataSet, count: number): DataSet {
  const cut = (array: DataSet['samples'][number]) => {
    const width = array.data.length / (array.shape[0] ?? 1)
    return { ...array, shape: [count, ...array.shape.slice(1)], data: array.data.subarray(0, count * width) }
  }
  return {
    samples: samples.map(cut),
    reference: reference.map(cut),
    truth: new Map([...truth].map(([name, array]) => [name, cut(array)]))
  }
}
