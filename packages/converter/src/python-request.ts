import { ConversionError } from './conversion-error.ts'
import type { ConversionContext } from './convert.ts'
import type { PythonRequest } from './python-converter.ts'
import type { Recipe } from './types.ts'

/** What the converter is asked for by these recipes, from the conversion's source and data. */
export async function pythonRequest(
  { request, work, inputHashes }: ConversionContext,
  recipes: readonly Recipe[]
): Promise<PythonRequest> {
  const { sourcePath, format, calibrationPath, evaluationPath, preprocessing, labels, signature } = request
  if (format === 'tflite') throw new ConversionError('wrong-format', 'A TFLite file is not converted.')
  return {
    sourcePath,
    sourceSha256: (await inputHashes).source.sha256,
    format,
    recipes,
    workDir: work.path,
    ...(calibrationPath === undefined ? {} : { calibrationPath }),
    ...(evaluationPath === undefined ? {} : { evaluationPath }),
    ...(preprocessing === undefined ? {} : { preprocessing }),
    ...(labels === undefined ? {} : { labels }),
    ...(signature === undefined ? {} : { signature })
  }
}
