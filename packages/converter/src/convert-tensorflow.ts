import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { datatypeOf } from './array.ts'
import { ConversionError } from './conversion-error.ts'
import type { ConversionContext } from './convert.ts'
import { convertVariants } from './convert-variants.ts'
import { type Evidence, gatherEvidence } from './evidence.ts'
import { pickRows } from './golden-samples.ts'
import { encodeGoldenInputs } from './goldens.ts'
import { proveVariant } from './prove.ts'
import type { ConvertedVariant, Described, Exported, PythonRequest, PythonTensor } from './python-converter.ts'
import { checkExport, type ReferenceAgreement } from './reference-engine.ts'
import type { ConversionResult, TensorDescription, VariantResult } from './types.ts'
import { lostNames, readVariantFile } from './variant-file.ts'

// Of the progress; the rest is the comparisons'.
const converterShare = 0.8

const goldenInputsName = 'golden-inputs.bin'

/** What has to be known before anything is compared. */
type Reference = { agreement: ReferenceAgreement; evidence: Evidence }

/**
 * The converter works on one core. So the export is checked, and each variant compared, while it makes the next.
 *
 *     converter   load - export - reference - variant 1 - variant 2 - ...
 *     beside it                               check export - compare 1 - compare 2 - ...
 */
export async function convertTensorFlow(context: ConversionContext): Promise<ConversionResult> {
  const { work, request, timed, timings } = context
  const warnings: string[] = []
  const results: VariantResult[] = []
  const progress = joinProgress(context, new Set(request.variants).size)
  let described: Described | undefined
  let reference: Promise<Reference> | undefined
  let comparisons: Promise<unknown> = Promise.resolve()

  const establish = async (model: Described, exported: Exported): Promise<Reference> => {
    const { exportPath, samplesPath, referencePath } = exported
    const check = { exportPath, samplesPath, referencePath, names: model.names }
    const agreement = await timed('reference check', () =>
      checkExport(check, { workDir: work.temporary, signal: context.signal, ...logOf(context) })
    )
    return { agreement, evidence: await gatherEvidence(model, exported, (message) => warnings.push(message)) }
  }
  const compare = async (converted: ConvertedVariant): Promise<void> => {
    const { variant, milliseconds } = converted
    if (reference === undefined) throw new ConversionError('converter-crashed', `${variant} came before the export.`)
    const { evidence } = await reference
    if (milliseconds !== undefined) timings[`convert ${variant}`] = milliseconds
    const done = results.length
    const onProgress = (share: number, message: string) => progress.compared(variant, done + share, message)
    results.push(await timed(`compare ${variant}`, () => examine(converted, evidence, context, onProgress)))
  }
  // Whatever fails stops everything else.
  const next = (step: () => Promise<unknown>) => {
    comparisons = comparisons.then(step)
    comparisons.catch(context.stop)
  }

  try {
    const options = {
      python: context.deps.python,
      temporaryFolder: work.temporary,
      signal: context.signal,
      ...logOf(context)
    }
    await timed('converter process', () =>
      convertVariants(pythonRequest(context), options, {
        progress: progress.converted,
        warning: (message) => warnings.push(message),
        described: (event) => {
          described = event
        },
        exported: (event) => {
          if (described === undefined) throw new ConversionError('converter-crashed', 'The export came first.')
          const established = establish(described, event)
          reference = established
          next(() => established)
        },
        variant: (event) => next(() => compare(event))
      })
    )
  } catch (error) {
    context.stop(error)
    await comparisons.catch(() => undefined)
    throw error
  }
  await comparisons
  if (described === undefined || reference === undefined) {
    throw new ConversionError('converter-crashed', 'The converter ended without describing the model.')
  }

  const { agreement, evidence } = await reference
  const goldenInputsPath = work.file(goldenInputsName)
  const tensors = evidence.samples.map((array) => pickRows(array, evidence.golden))
  await writeFile(goldenInputsPath, encodeGoldenInputs({ count: evidence.golden.length, tensors }))
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
    timings
  }
}

/** The converter and the comparisons go on at the same time: their shares add up. */
function joinProgress({ progress }: ConversionContext, variants: number) {
  let converterPercent = 0
  let comparisonPercent = 0
  const percent = () => converterShare * converterPercent + (1 - converterShare) * comparisonPercent
  return {
    converted: (event: { stage: string; percent: number; message: string }) => {
      converterPercent = event.percent
      progress(event.stage, percent(), event.message)
    },
    compared: (variant: string, done: number, message: string) => {
      comparisonPercent = (99 * done) / variants
      progress(`compare ${variant}`, percent(), message)
    }
  }
}

const logOf = ({ deps: { onLog } }: ConversionContext) => (onLog === undefined ? {} : { onLog })

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
