import type { ConversionContext } from './convert.ts'
import type { Evidence } from './evidence.ts'
import { proveVariant } from './prove.ts'
import type { ConvertedVariant } from './python-converter.ts'
import type { Attempt, Recipe, VariantResult } from './types.ts'
import { lostNames, readVariantFile, selectTfOperators, type VariantFile } from './variant-file.ts'

/** Everything that is known of a variant, once it is made or has failed. */
export async function examineVariant(
  recipe: Recipe,
  converted: ConvertedVariant,
  attempts: readonly Attempt[],
  evidence: Evidence,
  context: ConversionContext,
  onProgress: (share: number, message: string) => void
): Promise<VariantResult> {
  const { path: file, options, milliseconds, error } = converted
  const base = {
    variant: recipe.name,
    recipe,
    attempts: [...attempts],
    ...(options === undefined ? {} : { converterOptions: options }),
    ...(milliseconds === undefined ? {} : { converterMs: milliseconds })
  }
  if (file === undefined) {
    const [firstLine = ''] = (error ?? '').split('\n')
    const reason = `The converter failed: ${firstLine}`
    return { ...base, state: 'failed', reason, runtimes: [], converterLog: error ?? '' }
  }
  onProgress(0, `comparing ${recipe.name} with the original`)
  const content = await readVariantFile(file)
  const { model: _, ...described } = content
  const known = { ...base, path: file, ...described }
  const lost = lostNames(content, evidence.names)
  if (lost !== undefined) return { ...known, state: 'failed', reason: lost, runtimes: [] }
  const tolerance = context.request.tolerance?.[recipe.variant]
  const proof = await proveVariant(recipe.variant, file, content, evidence, {
    name: recipe.name,
    runtimes: context.runtimes,
    goldenOutputsPath: context.work.file(`${recipe.name}.golden-outputs.bin`),
    onProgress,
    ...(tolerance === undefined ? {} : { tolerance })
  })
  return { ...known, ...proof, ...notRunnableAnywhere(content, proof) }
}

/** Said outright: that no runtime has them would otherwise be one reason a runtime. */
function notRunnableAnywhere(
  file: VariantFile,
  { state }: Pick<VariantResult, 'state'>
): Pick<VariantResult, 'reason'> | undefined {
  const operators = selectTfOperators(file)
  if (operators.length === 0 || state !== 'unproven') return undefined
  const reason = `It needs TensorFlow's own operators (Select TF ops: ${operators.join(', ')}), which no runtime here has.`
  return { reason }
}
