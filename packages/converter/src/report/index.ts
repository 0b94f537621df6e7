import type { ConversionResult } from '../types.ts'
import { page } from './page.ts'

export { type ConversionReport, reportJson } from './report-json.ts'

/** One HTML file with pictures that loads nothing from anywhere: for a browser, for paper, for a mail. */
export function reportHtml(result: ConversionResult, { title }: { title: string }): string {
  return page(result, title).text
}
