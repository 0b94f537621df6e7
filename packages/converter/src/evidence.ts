import { type Labels, readLabels } from './accuracy.ts'
import { elementsOf, type NamedArray, toNumbers } from './array.ts'
import { ConversionError } from './conversion-error.ts'
import { pickGoldenSamples } from './goldens.ts'
import { readNpz } from './npz.ts'
import type { OutputSamples } from './parity.ts'
import type { Described, Exported } from './python-converter.ts'
import type { NameMap } from './types.ts'

/** What every variant of one model is compared with. */
export type Evidence = {
  names: NameMap
  samples: NamedArray[]
  /** The original's outputs for the samples, in its order. */
  reference: NamedArray[]
  referenceName: string
  data: 'uploaded' | 'generated'
  labels?: Labels
  /** Numbers of the samples that became golden inputs. */
  golden: readonly number[]
}

/** Reads what the converter wrote. `onWarning` is told why labels are not used, where they are not. */
export async function gatherEvidence(
  described: Described,
  exported: Exported,
  onWarning: (message: string) => void
): Promise<Evidence> {
  const samples = await readNpz(exported.samplesPath)
  const outputs = await readNpz(exported.referencePath)
  const reference = described.outputs.map(({ name }) => tensorOf(outputs, name))
  const evidence: Evidence = {
    names: described.names,
    samples: described.inputs.map(({ name }) => tensorOf(samples, name)),
    reference,
    referenceName: `${described.reference.name} ${described.reference.version}`,
    data: exported.data,
    golden: pickGoldenSamples(reference)
  }
  const y = samples.get('y')
  const [first] = reference
  if (y === undefined || first === undefined) return evidence
  const labels =
    reference.length === 1
      ? readLabels(toNumbers(y.dtype, y.data), y.shape, outputSamples(first))
      : 'The labels are not used: the model has more than one output.'
  if (typeof labels !== 'string') return { ...evidence, labels }
  onWarning(labels)
  return evidence
}

/** A [samples, ...] array as the measures take it. */
export function outputSamples({ dtype, shape, data }: NamedArray): OutputSamples {
  const perSample = shape.slice(1)
  return { elements: elementsOf(perSample), lastAxis: perSample.at(-1) ?? 1, values: toNumbers(dtype, data) }
}

function tensorOf(arrays: ReadonlyMap<string, NamedArray>, name: string): NamedArray {
  const array = arrays.get(`x:${name}`)
  if (array === undefined) throw new ConversionError('converter-crashed', `The converter wrote no values of ${name}.`)
  return { ...array, name }
}
