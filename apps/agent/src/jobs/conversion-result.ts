import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ConversionResult, ConvertedVariant, VariantDetails } from '@skerry/contracts'
import type { ConversionResult as Converted, VariantResult } from '@skerry/converter'

type Upload = (sha256: string, path: string) => Promise<void>
type Report = NonNullable<VariantDetails['report']>

/** Uploads what a conversion made, its report among it, and describes it as the control plane keeps it. */
export async function uploadConversion(
  converted: Converted,
  directory: string,
  upload: Upload
): Promise<ConversionResult> {
  const uploadFile = async (path: string, known?: string): Promise<string> => {
    const sha256 = known ?? (await hashOf(path))
    await upload(sha256, path)
    return sha256
  }
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(directory, name)
    await writeFile(path, text)
    return uploadFile(path)
  }
  const { reportHtml, reportJson } = await import('@skerry/converter')
  const report: Report = {
    html: await write('report.html', reportHtml(converted, { title: `Conversion of ${converted.source.sha256}` })),
    json: await write('report.json', JSON.stringify(reportJson(converted)))
  }
  const variants: ConvertedVariant[] = []
  for (const variant of converted.variants) variants.push(await uploadVariant(variant, report, uploadFile))
  const hasGoldens = variants.some(({ goldenOutputs }) => goldenOutputs !== undefined)
  const { inputs, outputs, names, converter, reference, signature, versions, warnings, timings } = converted
  return {
    inputs,
    outputs,
    names,
    converter,
    reference: reference ?? {},
    ...(signature === undefined ? {} : { signature }),
    versions,
    ...(hasGoldens ? { goldenInputs: await uploadFile(converted.goldenInputsPath) } : {}),
    variants,
    warnings,
    timings
  }
}

async function uploadVariant(
  { variant, path, goldenOutputsPath, ...result }: VariantResult,
  report: Report,
  upload: (path: string, sha256?: string) => Promise<string>
): Promise<ConvertedVariant> {
  const { state, reason, sha256, bytes, inputs, outputs, operators, parity, runtimes } = result
  const { attempts, estimate, layerErrors, proposals, converterOptions } = result
  if (path !== undefined) await upload(path, sha256)
  const goldenOutputs = goldenOutputsPath === undefined ? undefined : await upload(goldenOutputsPath)
  return {
    recipe: variant,
    state,
    ...(reason === undefined ? {} : { reason }),
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(bytes === undefined ? {} : { bytes }),
    ...(inputs === undefined ? {} : { inputs }),
    ...(outputs === undefined ? {} : { outputs }),
    ...(operators === undefined ? {} : { operators }),
    ...(parity === undefined ? {} : { parity }),
    ...(goldenOutputs === undefined ? {} : { goldenOutputs }),
    runtimes,
    details: {
      ...(attempts === undefined ? {} : { attempts }),
      ...(estimate === undefined ? {} : { estimate }),
      ...(layerErrors === undefined ? {} : { layerErrors }),
      ...(proposals === undefined ? {} : { proposals: proposals.map(asProposal) }),
      ...(converterOptions === undefined ? {} : { options: converterOptions }),
      report
    }
  }
}

/** What the schema names; a recipe by its name. */
const asProposal = ({ recipe, ...proposal }: NonNullable<VariantResult['proposals']>[number]) => ({
  ...proposal,
  recipe: { name: recipe.name }
})

/** One result of what was known and, where something was left to do, what was made; recipes in the order asked for. */
export function mergeKnown(
  recipes: readonly string[],
  known: readonly ConversionResult[],
  made: ConversionResult | undefined,
  converterStamp: string | undefined
): ConversionResult {
  const results = made === undefined ? known : [made, ...known]
  const [first] = results
  if (first === undefined) throw new RangeError('no result to merge')
  const variants = new Map(results.flatMap((result) => result.variants.map((variant) => [variant.recipe, variant])))
  return {
    ...first,
    variants: recipes.flatMap((recipe) => variants.get(recipe) ?? []),
    warnings: [...new Set(results.flatMap(({ warnings }) => warnings))],
    timings: made?.timings ?? {},
    ...(converterStamp === undefined ? {} : { converterStamp }),
    known: known.flatMap((result) => result.variants.map(({ recipe }) => recipe))
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(piece as Buffer)
  return hash.digest('hex')
}
