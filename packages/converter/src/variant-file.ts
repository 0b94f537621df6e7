import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { estimateModel, readTflite, type TensorSpec, type TfliteModel } from '@skerry/tflite'
import type { NameMap, VariantResult, VariantTensor } from './types.ts'
import { readVariantMetadata } from './variant-metadata.ts'

export type VariantFile = Required<
  Pick<VariantResult, 'sha256' | 'bytes' | 'inputs' | 'outputs' | 'operators' | 'estimate'>
> &
  Pick<VariantResult, 'metadata'> & { model: TfliteModel }

/** Reads what a .tflite file is, without running it. @throws TfliteFormatError */
export async function readVariantFile(path: string): Promise<VariantFile> {
  const content = await readFile(path)
  const model = readTflite(content)
  const metadata = await readVariantMetadata(path, content)
  return {
    model,
    sha256: createHash('sha256').update(content).digest('hex'),
    bytes: content.length,
    inputs: borderTensors(model, 'inputs'),
    outputs: borderTensors(model, 'outputs'),
    operators: model.operators
      .filter(({ count }) => count > 0)
      .map(({ name, version, custom }) => ({ name, version, custom })),
    estimate: estimateModel(model),
    ...(metadata === undefined ? {} : { metadata })
  }
}

/** TensorFlow's own operators in a file, which no runtime here has. */
export function selectTfOperators({ operators }: Pick<VariantFile, 'operators'>): string[] {
  return operators.filter(({ name, custom }) => custom && name.startsWith('Flex')).map(({ name }) => name)
}

/** By signature name; by the tensors' own where the file has no signature. */
function borderTensors(model: TfliteModel, side: 'inputs' | 'outputs'): VariantTensor[] {
  const [signature] = model.signatures
  if (signature === undefined) return model[side].map((spec) => describe(spec.name, spec))
  const specs = model.subgraphs[signature.subgraph]?.[side] ?? []
  return Object.entries(signature[side]).flatMap(([name, position]) => {
    const spec = specs[position]
    return spec === undefined ? [] : [describe(name, spec)]
  })
}

function describe(name: string, { dtype, shape, quantization }: TensorSpec): VariantTensor {
  const scale = quantization?.scales[0]
  return {
    name,
    datatype: datatypeName(dtype),
    shape,
    ...(scale === undefined ? {} : { quantization: { scale, zeroPoint: quantization?.zeroPoints[0] ?? 0 } })
  }
}

/** The Open Inference Protocol's name for TFLite's element type. */
function datatypeName(dtype: string): string {
  return dtype.replace(/^float/, 'fp').toUpperCase()
}

/** Says what is wrong when a file's signature does not have exactly the names that it was exported with. */
export function lostNames(file: VariantFile, names: NameMap): string | undefined {
  for (const side of ['inputs', 'outputs'] as const) {
    const expected = Object.values(names[side]).sort()
    const actual = file[side].map(({ name }) => name).sort()
    if (expected.join('\n') !== actual.join('\n')) {
      return `The converted file's ${side} are ${actual.join(', ')}; ${expected.join(', ')} were exported.`
    }
  }
  return undefined
}
