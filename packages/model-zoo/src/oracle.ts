import { stat } from 'node:fs/promises'
import type { ConversionResult } from '@skerry/converter'
import { pythonPackages } from './python-packages.ts'
import { runScript } from './scripts.ts'
import type { PreparedModel, ZooContext } from './zoo-model.ts'
import type { OracleRow } from './zoo-record.ts'

type Measures = Record<string, Record<string, { snrDb: number | null; agreement: number | null }>>

/**
 * Our ready variants and the authors' own .tflite, each against the original on the same samples
 * (python/compare_oracle.py). The authors' file comes first.
 */
export async function compareWithOracle(
  context: ZooContext,
  { oracle, sourcePath, format, evaluationPath }: PreparedModel,
  { variants, names }: ConversionResult
): Promise<OracleRow[]> {
  if (oracle === undefined) return []
  if (format === 'tfjs' && !variants.some(({ variant, state }) => variant === 'float32' && state === 'ready')) return []
  const files = [{ name: 'the authors', path: oracle.path, outputs: oracle.outputs }]
  for (const { variant, path, state } of variants) {
    if (path !== undefined && state === 'ready') files.push({ name: variant, path, outputs: names.outputs })
  }
  const packages = await pythonPackages(context, 'models')
  const wanted = { source: sourcePath, format, packages, samples: evaluationPath, files }
  const measures = JSON.parse(await runScript(context, 'compare_oracle.py', [JSON.stringify(wanted)])) as Measures
  const rows: OracleRow[] = []
  for (const { name, path } of files) {
    const bytes = (await stat(path)).size
    for (const [output, each] of Object.entries(measures[name] ?? {})) rows.push({ file: name, output, bytes, ...each })
  }
  return rows
}
