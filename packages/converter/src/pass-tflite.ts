import { copyFile } from 'node:fs/promises'
import { TfliteFormatError } from '@skerry/tflite'
import { datatypeOf, elementsOf, isArrayDtype, type NamedArray } from './array.ts'
import { contentHash } from './content-hash.ts'
import { ConversionError } from './conversion-error.ts'
import type { ConversionContext } from './convert.ts'
import { generateSamples } from './generated-samples.ts'
import { writeGoldenInputs, writeGoldenOutputs } from './golden-samples.ts'
import { pickGoldenSamples } from './goldens.ts'
import { NpzError, readNpz } from './npz.ts'
import type { Trial } from './trial.ts'
import type { ConversionResult, NameMap, TensorDescription, VariantResult, VariantRuntimeResult } from './types.ts'
import { readVariantFile, selectTfOperators, type VariantFile } from './variant-file.ts'

const fileName = 'original.tflite'
const goldenInputsName = 'golden-inputs.bin'
const goldenOutputsName = 'original.golden-outputs.bin'

/** A ready .tflite file: nothing is converted, and there is nothing to compare it with. It is run, and described. */
export async function passTflite(context: ConversionContext): Promise<ConversionResult> {
  const { work, request, progress } = context
  progress('read', 5, 'reading the file')
  const path = work.file(fileName)
  await copyFile(request.sourcePath, path)
  const file = await readFileOrRefuse(path)
  const names: NameMap = { inputs: sameNames(file.inputs), outputs: sameNames(file.outputs) }
  const inputs = describeBorder(file, 'inputs')
  const outputs = describeBorder(file, 'outputs')
  const text = [...inputs, ...outputs].find(({ datatype }) => datatype === 'BYTES')
  const samples = text === undefined ? await readSamples(request.evaluationPath, inputs) : []

  const runtimes: VariantRuntimeResult[] = []
  const trials: { runtime: { name: string; version: string }; trial: Trial }[] = []
  for (const [index, runtime] of text === undefined ? context.runtimes.entries() : []) {
    const onSample = (done: number, count: number) => {
      const share = (index + done / count) / context.runtimes.length
      progress(`run on ${runtime.name}`, 10 + 85 * share, `sample ${done} of ${count}`)
    }
    const trial = await runtime.run(path, file.model.operators, names, samples, onSample)
    const { name, version } = runtime
    if ('refused' in trial) {
      runtimes.push({ name, version, runnable: false, reason: trial.refused })
      continue
    }
    runtimes.push({ name, version, runnable: true, p50Ms: trial.p50Ms })
    trials.push({ runtime: { name, version }, trial })
  }

  const [first] = trials
  const golden = first === undefined ? samplesFrom(samples) : pickGoldenSamples(first.trial.outputs)
  const goldenInputsPath = work.file(goldenInputsName)
  await writeGoldenInputs(goldenInputsPath, samples, golden)
  const goldenOutputsPath = work.file(goldenOutputsName)
  if (first !== undefined)
    await writeGoldenOutputs(goldenOutputsPath, 'original', first.runtime, first.trial, names, golden)
  await work.keep([fileName, goldenInputsName, goldenOutputsName])
  const { model: _, ...described } = file
  const variant: VariantResult = {
    variant: 'original',
    ...judgeAlone(
      trials.map(({ trial }) => trial),
      notRun(file, text)
    ),
    path,
    ...described,
    runtimes,
    ...(first === undefined ? {} : { goldenOutputsPath })
  }
  const evaluation = request.evaluationPath === undefined ? undefined : await contentHash(request.evaluationPath)
  return {
    source: { sha256: file.sha256, bytes: file.bytes, format: 'tflite' },
    ...(evaluation === undefined ? {} : { evaluationSha256: evaluation.sha256 }),
    versions: {},
    inputs,
    outputs,
    names,
    converter: { name: 'none', version: '0', options: { source: 'tflite' } },
    variants: [variant],
    goldenInputsPath,
    warnings: [],
    timings: context.timings
  }
}

async function readFileOrRefuse(path: string): Promise<VariantFile> {
  try {
    return await readVariantFile(path)
  } catch (cause) {
    if (!(cause instanceof TfliteFormatError)) throw cause
    throw new ConversionError('not-a-model', cause.message, { cause })
  }
}

const sameNames = (tensors: readonly { name: string }[]) => Object.fromEntries(tensors.map(({ name }) => [name, name]))

/** As callers see it: quantized tensors are float32. */
function describeBorder(file: VariantFile, side: 'inputs' | 'outputs'): TensorDescription[] {
  return file[side].map(({ name, datatype, shape, quantization }) => {
    const dtype = quantization === undefined ? datatype.toLowerCase().replace(/^fp/, 'float') : 'float32'
    if (dtype === 'string') return { name, datatype: 'BYTES', shape }
    if (!isArrayDtype(dtype)) throw new ConversionError('not-a-model', `${name} is of type ${dtype}, which is not run.`)
    return { name, datatype: datatypeOf(dtype), shape }
  })
}

async function readSamples(path: string | undefined, inputs: readonly TensorDescription[]): Promise<NamedArray[]> {
  if (path === undefined) return inputs.map(generateSamples)
  const arrays = await readNpz(path).catch((cause: unknown) => {
    if (!(cause instanceof NpzError)) throw cause
    throw new ConversionError('invalid-data', `The evaluation data cannot be read: ${cause.message}`, { cause })
  })
  const count = arrays.get(inputs[0]?.name ?? '')?.shape[0] ?? 0
  return inputs.map(({ name, datatype, shape }) => {
    const array = arrays.get(name)
    const fits = array !== undefined && elementsOf(array.shape.slice(1)) === elementsOf(shape)
    const same = fits && datatypeOf(array.dtype) === datatype && array.shape[0] === count
    if (same && count > 0) return array
    const text = `The evaluation data needs an array ${name} of ${datatype} and shape [samples, ${shape.slice(1).join(', ')}], of as many samples as the others.`
    throw new ConversionError('input-mismatch', text)
  })
}

const samplesFrom = (samples: readonly NamedArray[]): number[] =>
  Array.from({ length: Math.min(8, samples[0]?.shape[0] ?? 0) }, (_, index) => index)

function notRun(file: VariantFile, text: TensorDescription | undefined): string {
  const operators = selectTfOperators(file)
  if (text !== undefined) return `${text.name} is text, which no runtime here takes.`
  if (operators.length === 0) return 'No runtime here can run it.'
  return `It needs TensorFlow's own operators (Select TF ops: ${operators.join(', ')}), which no runtime here has.`
}

function judgeAlone(trials: readonly Trial[], reason: string): Pick<VariantResult, 'state' | 'reason'> {
  if (trials.length === 0) return { state: 'unproven', reason }
  for (const { outputs } of trials) {
    for (const { name, dtype, data } of outputs) {
      const isFloat = dtype === 'float32' || dtype === 'float64'
      if (isFloat && !(data as Float32Array).every(Number.isFinite)) {
        return { state: 'rejected', reason: `${name}: some of its values are NaN or infinite.` }
      }
    }
  }
  return { state: 'unproven', reason: 'It came as a TFLite file: there is no original to compare it with.' }
}
