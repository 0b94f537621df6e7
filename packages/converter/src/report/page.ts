import type { ConversionResult } from '../types.ts'
import { formatBytes } from './format.ts'
import { type Markup, markup } from './markup.ts'
import { modelSection, reproduceSection } from './section-model.ts'
import { comparison, overviewCharts, verdicts, warnings } from './section-overview.ts'
import { variantSection } from './section-variant.ts'
import { pageStyle } from './style.ts'

// Nothing is loaded and nothing runs, even if a name should ever get through unescaped.
const policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

/** One HTML file that needs nothing else. The same result gives the same bytes. */
export function page(result: ConversionResult, title: string): Markup {
  const { variants } = result
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${pageStyle}</style>
</head>
<body>
<a class="skip" href="#verdicts">Skip to the verdicts</a>
<header><p class="eyebrow">Skerry conversion report</p><h1>${title}</h1><p class="lead">${lead(result)}</p></header>
<main>
${verdicts(result)}
${warnings(result)}
${comparison(result)}
${overviewCharts(result)}
${variants.map((variant, index) => variantSection(variant, index, variants))}
${modelSection(result)}
${reproduceSection(result)}
</main>
<footer><p>All figures were measured on the machine that converted the model, but for multiply-accumulates (MACs) and peak memory, which are computed from the file. The JSON report holds the same, unrounded.</p></footer>
</body>
</html>
`
}

const formats: Readonly<Record<ConversionResult['source']['format'], string>> = {
  keras: 'A Keras model',
  h5: 'A Keras model in HDF5',
  savedmodel: 'A SavedModel',
  tfjs: 'A TensorFlow.js model',
  tflite: 'A ready TFLite file'
}

function lead({ source, variants, reference }: ConversionResult): string {
  const parity = variants.find((variant) => variant.parity !== undefined)?.parity
  const ready = variants.filter(({ state }) => state === 'ready').length
  const made = `${formats[source.format]}, ${formatBytes(source.bytes)}`
  const count = `${ready} of ${variants.length} ${variants.length === 1 ? 'variant is' : 'variants are'} ready to serve`
  if (parity === undefined)
    return `${made}. ${count}.${reference === undefined ? ' There was no original to compare with.' : ''}`
  const data =
    parity.data === 'uploaded'
      ? 'uploaded samples, held out from calibration'
      : 'generated samples, which find what is broken and prove nothing'
  return `${made}. ${count}, compared with ${parity.reference} on ${parity.samples} ${data}.`
}
