import path from 'node:path'
import { datatypeOf, isArrayDtype } from './array.ts'
import { recordAttempt } from './attempt-log.ts'
import { ConversionError } from './conversion-error.ts'
import type { ConversionContext } from './convert.ts'
import { convertVariants } from './convert-variants.ts'
import { type Evidence, gatherEvidence } from './evidence.ts'
import { examineVariant } from './examine-variant.ts'
import { writeGoldenInputs } from './golden-samples.ts'
import { explainRejection } from './propose.ts'
import type { ConvertedVariant, Described, Exported, PythonTensor } from './python-converter.ts'
import { pythonRequest } from './python-request.ts'
import { parseRecipe } from './recipe.ts'
import { checkExport, type ReferenceAgreement } from './reference-engine.ts'
import type { Attempt, ConversionResult, TensorDescription, VariantResult } from './types.ts'

// Of the progress; the rest is the comparisons'.
const converterShare = 0.8

const goldenInputsName = 'golden-inputs.bin'

/** What has to be known before anything is compared. The agreement is absent where the second engine cannot take part. */
type Reference = { agreement: ReferenceAgreement | undefined; evidence: Evidence }

/**
 * The converter works on one core. So the export is checked, and each variant compared, while it makes the next.
 *
 *     converter   load - export - reference - variant 1 - variant 2 - ...
 *     beside it                               check export - compare 1 - compare 2 - ...
 */
export async function convertTensorFlow(context: ConversionContext): Promise<ConversionResult> {
  const { work, request, timed, timings } = context
  const recipes = [...new Set(request.variants)].map(parseRecipe)
  const warnings: string[] = []
  const warn = (message: string) => warnings.push(message)
  const results: VariantResult[] = []
  const attempts = new Map<string, Attempt[]>(recipes.map(({ name }) => [name, []]))
  const progress = joinProgress(context, recipes.length)
  let described: Described | undefined
  let goldenImages: string | undefined
  let reference: Promise<Reference> | undefined
  let comparisons: Promise<unknown> = Promise.resolve()

  const establish = async (model: Described, exported: Exported): Promise<Reference> => {
    const evidence = await gatherEvidence(model, exported, warn, request.calibrationPath)
    if (evidence.reference.length === 0) return { agreement: undefined, evidence }
    const { exportPath, samplesPath, referencePath } = exported
    const check = { exportPath, samplesPath, referencePath, names: model.names }
    const agreement = await timed('reference check', () =>
      checkExport(check, {
        python: context.deps.python,
        workDir: work.temporary,
        signal: context.signal,
        onWarning: warn,
        ...logOf(context)
      })
    )
    return { agreement, evidence }
  }
  const compare = async (converted: ConvertedVariant): Promise<void> => {
    const { variant, milliseconds } = converted
    const recipe = recipes.find(({ name }) => name === variant)
    if (reference === undefined) throw new ConversionError('converter-crashed', `${variant} came before the export.`)
    if (recipe === undefined) throw new ConversionError('converter-crashed', `${variant} was not asked for.`)
    const { evidence } = await reference
    if (milliseconds !== undefined) timings[`convert ${variant}`] = milliseconds
    const done = results.length
    const onProgress = (share: number, message: string) => progress.compared(variant, done + share, message)
    const tried = attempts.get(variant) ?? []
    results.push(
      await timed(`compare ${variant}`, () => examineVariant(recipe, converted, tried, evidence, context, onProgress))
    )
  }
  // Whatever fails stops everything else.
  const next = (step: () => Promise<unknown>) => {
    comparisons = comparisons.then(step)
    comparisons.catch(context.stop)
  }

  try {
    const options = {
      worker: context.deps.worker,
      temporaryFolder: work.temporary,
      signal: context.signal,
      ...logOf(context)
    }
    const asked = await pythonRequest(context, recipes)
    await timed('converter process', () =>
      convertVariants(asked, options, {
        isolated: context.isolated,
        progress: progress.converted,
        warning: warn,
        described: (event) => {
          described = event
        },
        exported: (event) => {
          if (described === undefined) throw new ConversionError('converter-crashed', 'The export came first.')
          goldenImages = event.goldenImages
          const established = establish(described, event)
          reference = established
          next(() => established)
        },
        attempt: ({ variant, ...attempt }) => recordAttempt(attempts.get(variant) ?? [], attempt),
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
  // Not before: other recipes are tried in the same work folder.
  for (const result of results) await timed('explanations', () => explainRejection(context, result, evidence))
  const goldenInputsPath = work.file(goldenInputsName)
  const { preprocessing } = request
  const images =
    goldenImages === undefined || preprocessing === undefined ? undefined : { folder: goldenImages, preprocessing }
  await writeGoldenInputs(goldenInputsPath, evidence.samples, evidence.golden, images)
  const kept = results.flatMap(({ path: file, goldenOutputsPath }) => [file, goldenOutputsPath])
  await work.keep([goldenInputsName, ...kept.flatMap((file) => (file === undefined ? [] : [path.basename(file)]))])
  const { name, version } = described.converter
  return {
    ...(await context.inputHashes),
    ...(preprocessing === undefined ? {} : { preprocessing }),
    ...(described.signature === undefined ? {} : { signature: described.signature }),
    versions: described.versions,
    inputs: described.inputs.map(describe),
    outputs: described.outputs.map(describe),
    names: described.names,
    reference: { ...described.reference, ...(agreement === undefined ? {} : { agreement }) },
    converter: { name, version, options: { source: request.format } },
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

const describe = ({ name, dtype, shape }: PythonTensor): TensorDescription => ({
  name,
  datatype: isArrayDtype(dtype) ? datatypeOf(dtype) : 'BYTES',
  shape
})
