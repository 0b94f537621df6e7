import { existsSync } from 'node:fs'
import path from 'node:path'
import type { Candidate } from './candidates.ts'
import { ConversionError } from './conversion-error.ts'
import type { ConversionContext } from './convert.ts'
import { convertVariants } from './convert-variants.ts'
import type { Evidence } from './evidence.ts'
import type { TriedCandidate } from './propose.ts'
import { proveVariant } from './prove.ts'
import type { ConvertedVariant } from './python-converter.ts'
import { pythonRequest } from './python-request.ts'
import type { Recipe } from './types.ts'
import { readVariantFile } from './variant-file.ts'

/** Converts a candidate from the conversion's export, and measures it as any variant. */
export async function tryCandidate(
  context: ConversionContext,
  candidate: Candidate,
  evidence: Evidence,
  signal: AbortSignal
): Promise<TriedCandidate> {
  const { recipe, calibrationTake } = candidate
  const file = await convertOne(context, recipe, signal, calibrationTake === undefined ? {} : { calibrationTake })
  const content = await readVariantFile(file)
  const tolerance = context.request.tolerance?.[recipe.variant]
  const proof = await proveVariant(recipe.variant, file, content, evidence, {
    name: recipe.name,
    runtimes: context.runtimes,
    goldenOutputsPath: path.join(context.work.temporary, `${recipe.name}.golden-outputs.bin`),
    // Beside the conversion's own work, whose percentage this does not move.
    onProgress: (_share, message) => context.progress(`try ${recipe.name}`, 0, message),
    ...(tolerance === undefined ? {} : { tolerance })
  })
  return { ...proof, bytes: content.bytes }
}

/** The float32 file to compare layers with: the one asked for, else one made for this. */
export async function floatTwin(context: ConversionContext, recipe: Recipe, signal: AbortSignal): Promise<string> {
  const requested = context.work.file('float32.tflite')
  const ours = context.work.file('float32-for-layers.tflite')
  const known = [requested, ours].find((file) => existsSync(file))
  if (known !== undefined) return known
  const { batch } = recipe
  const plain = { variant: 'float32', engine: 'tflite-converter', inputType: 'float32', perChannel: true } as const
  return convertOne(context, { ...plain, name: 'float32-for-layers', batch }, signal, {})
}

/** @throws ConversionError where the converter fails. */
async function convertOne(
  context: ConversionContext,
  recipe: Recipe,
  signal: AbortSignal,
  more: { calibrationTake?: { from: number; to: number } }
): Promise<string> {
  const { work, deps } = context
  let made: ConvertedVariant | undefined
  const options = { worker: deps.worker, temporaryFolder: work.temporary, signal }
  const python = { ...(await pythonRequest(context, [recipe])), resume: true, ...more }
  await convertVariants(python, options, {
    progress: ({ message }) => context.progress(`try ${recipe.name}`, 0, message),
    warning: () => undefined,
    described: () => undefined,
    exported: () => undefined,
    variant: (event) => {
      made = event
    }
  })
  if (made?.path === undefined) {
    throw new ConversionError('converter-failed', `${recipe.name} could not be made: ${made?.error ?? 'no answer'}`)
  }
  return made.path
}
