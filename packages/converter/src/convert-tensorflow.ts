import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { readLabels } from './accuracy.ts'
import { datatypeOf, type NamedArray, toNumbers } from './array.ts'
import { ConversionError } from './conversion-error.ts'
import type { ConversionContext } from './convert.ts'
import { pickRows } from './golden-samples.ts'
import { encodeGoldenInputs, pickGoldenSamples } from './goldens.ts'
import { readNpz } from './npz.ts'
import { type Evidence, outputSamples, proveVariant } from './prove.ts'
import {
  type ConvertedVariant,
  type Described,
  type Exported,
  type PythonRequest,
  type PythonTensor,
  runPythonConverter
} from './python-converter.ts'
import { checkExport, type ReferenceAgreement } from './reference-engine.ts'
import type { ConversionResult, TensorDescription, VariantResult } from './types.ts'
import { lostNames, readVariantFile } from './variant-file.ts'

// Shares of the progress: about what the steps of the example model take.
const pythonPercent = 65

const goldenInputsName = 'golden-inputs.bin'

type Converted = {
  described: Described
  exported: Exported
  variants: ConvertedVariant[]
  agreement: ReferenceAgreement
  warnings: string[]
}

export async function convertTensorFlow(context: ConversionContext): Promise<ConversionResult> {
  const { work, request } = context
  const { described, exported, variants, agreement, warnings } = await runConverter(context)
  for (const { variant, milliseconds } of variants) {
    if (milliseconds !== undefined) context.timings[`convert ${variant}`] = milliseconds
  }
  const evidence = await gatherEvidence(described, exported, warnings)
  const goldenInputsPath = work.file(goldenInputsName)
  const tensors = evidence.samples.map((array) => pickRows(array, evidence.golden))
  await writeFile(goldenInputsPath, encodeGoldenInputs({ count: evidence.golden.length, tensors }))

  const results: VariantResult[] = []
  for (const [index, converted] of variants.entries()) {
    const onProgress = (share: number, message: string) => {
      const percent = pythonPercent + ((99 - pythonPercent) * (index + share)) / variants.length
      context.progress(`compare ${converted.variant}`, percent, message)
    }
    results.push(
      await context.timed(`compare ${converted.variant}`, () => examine(converted, evidence, context, onProgress))
    )
  }

  const kept = results.flatMap(({ path: file, goldenOutputsPath }) => [file, goldenOutputsPath])
  await work.keep([goldenInputsName, ...kept.flatMap((file) => (file === undefined ? [] : [path.basename(file)]))])
  const { name, version } = described.converter
  return {
    inputs: described.inputs.map(describe),
    outputs: described.outputs.map(describe),
    names: described.names,
    reference: { ...described.reference, agreement },
    converter: { name, version, options: { source: request.format, batchSize: 1 } },
    variants: results,
    goldenInputsPath,
    warnings,
    timings: context.timings
  }
}

/** The converter, and beside it, as soon as the export is there, the second engine on that. */
async function runConverter(context: ConversionContext): Promise<Converted> {
  const { deps, work, signal, progress, timed } = context
  const warnings: string[] = []
  const variants: ConvertedVariant[] = []
  let described: Described | undefined
  let exported: Exported | undefined
  let agreement: Promise<ReferenceAgreement> | undefined
  // Either process's failure ends the other.
  const failed = new AbortController()
  const either = AbortSignal.any([signal, failed.signal])
  const onLog = deps.onLog === undefined ? {} : { onLog: deps.onLog }

  const startCheck = (names: Described['names'], { exportPath, samplesPath, referencePath }: Exported) => {
    const check = { exportPath, samplesPath, referencePath, names }
    agreement = timed('reference check', () =>
      checkExport(check, { workDir: work.temporary, signal: either, ...onLog })
    )
    agreement.catch((error: unknown) => failed.abort(error))
  }
  try {
    await timed('converter process', () =>
      runPythonConverter(pythonRequest(context), {
        python: deps.python,
        temporaryFolder: work.temporary,
        signal: either,
        ...onLog,
        listener: {
          progress: ({ stage, percent, message }) => progress(stage, (percent * pythonPercent) / 100, message),
          warning: (message) => warnings.push(message),
          described: (event) => {
            described = event
          },
          exported: (event) => {
            exported = event
            if (described !== undefined) startCheck(described.names, event)
          },
          variant: (event) => variants.push(event)
        }
      })
    )
  } catch (error) {
    failed.abort(error)
    await agreement?.catch(() => undefined)
    throw error
  }
  if (described === undefined || exported === undefined || agreement === undefined) {
    throw new ConversionError('converter-crashed', 'The converter ended without describing the model.')
  }
  progress('reference check', pythonPercent, 'waiting for the second engine')
  return { described, exported, variants, agreement: await agreement, warnings }
}

function pythonRequest({ request, work }: ConversionContext): PythonRequest {
  const { sourcePath, format, variants, calibrationPath, evaluationPath } = request
  if (format === 'tflite') throw new ConversionError('wrong-format', 'A TFLite file is not converted.')
  return {
    sourcePath,
    format,
    variants: [...new Set(variants)],
    workDir: work.path,
    ...(calibrationPath === undefined ? {} : { calibrationPath }),
    ...(evaluationPath === undefined ? {} : { evaluationPath })
  }
}

async function gatherEvidence(described: Described, exported: Exported, warnings: string[]): Promise<Evidence> {
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
  warnings.push(labels)
  return evidence
}

function tensorOf(arrays: ReadonlyMap<string, NamedArray>, name: string): NamedArray {
  const array = arrays.get(`x:${name}`)
  if (array === undefined) throw new ConversionError('converter-crashed', `The converter wrote no values of ${name}.`)
  return { ...array, name }
}

async function examine(
  { variant, path: file, options, milliseconds, error }: ConvertedVariant,
  evidence: Evidence,
  context: ConversionContext,
  onProgress: (share: number, message: string) => void
): Promise<VariantResult> {
  const base = {
    variant,
    ...(options === undefined ? {} : { converterOptions: options }),
    ...(milliseconds === undefined ? {} : { converterMs: milliseconds })
  }
  if (file === undefined) {
    const [firstLine = ''] = (error ?? '').split('\n')
    const reason = `The converter failed: ${firstLine}`
    return { ...base, state: 'failed', reason, runtimes: [], converterLog: error ?? '' }
  }
  onProgress(0, `comparing ${variant} with the original`)
  const content = await readVariantFile(file)
  const { sha256, bytes, inputs, outputs, operators } = content
  const known = { ...base, path: file, sha256, bytes, inputs, outputs, operators }
  const lost = lostNames(content, evidence.names)
  if (lost !== undefined) return { ...known, state: 'failed', reason: lost, runtimes: [] }
  const tolerance = context.request.tolerance?.[variant]
  const proof = await proveVariant(variant, file, content, evidence, {
    runtimes: context.runtimes,
    goldenOutputsPath: context.work.file(`${variant}.golden-outputs.bin`),
    onProgress,
    ...(tolerance === undefined ? {} : { tolerance })
  })
  return { ...known, ...proof }
}

const describe = ({ name, dtype, shape }: PythonTensor): TensorDescription => ({
  name,
  datatype: datatypeOf(dtype),
  shape
})
