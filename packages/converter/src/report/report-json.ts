import path from 'node:path'
import type { ConversionResult } from '../types.ts'

/** The result as others may read it: file names without the folders of the machine that made them. */
export type ConversionReport = ConversionResult & { format: 'skerry-conversion-report'; formatVersion: 1 }

export function reportJson(result: ConversionResult): ConversionReport {
  return {
    format: 'skerry-conversion-report',
    formatVersion: 1,
    ...result,
    goldenInputsPath: path.basename(result.goldenInputsPath),
    variants: result.variants.map((variant) => ({
      ...variant,
      ...(variant.path === undefined ? {} : { path: path.basename(variant.path) }),
      ...(variant.goldenOutputsPath === undefined
        ? {}
        : { goldenOutputsPath: path.basename(variant.goldenOutputsPath) })
    }))
  }
}
