import type { Device, Variant } from '@skerry/contracts'
import { decibels, megabytes, milliseconds, share } from '../cells.ts'
import { renderTable } from '../table.ts'
import { MEMBERS, MODEL, type WorkedExample } from './worked-example.ts'

/** What was converted, and what became of it. */
export function variantTable(variants: readonly Variant[]): string {
  return renderTable(
    ['variant', 'state', 'size', 'SNR', 'agreement', 'accuracy', 'original', 'why'],
    variants.map((variant) => {
      const output = variant.parity?.outputs[0]
      return [
        variant.variant,
        variant.state,
        megabytes(variant.bytes),
        decibels(output?.snrDb),
        share(output?.agreement),
        share(variant.parity?.accuracy?.variant),
        share(variant.parity?.accuracy?.original),
        variant.reason ?? ''
      ]
    })
  )
}

/** What each device does with it. */
export function deviceTable(example: WorkedExample, variants: readonly Variant[]): string {
  return renderTable(
    ['device', 'runtime', 'variant', 'size', 'p50', 'p99', 'job p50', 'parity', 'accuracy'],
    example.measured.map((entry) => {
      const variant = variants.find((candidate) => candidate.variant === entry.variant)
      const output = variant?.parity?.outputs[0]
      return [
        entry.device,
        entry.runtime,
        entry.variant,
        megabytes(variant?.bytes),
        milliseconds(entry.p50Ms),
        milliseconds(entry.p99Ms),
        milliseconds(entry.jobP50Ms),
        decibels(output?.snrDb),
        share(entry.accuracy)
      ]
    })
  )
}

/** The object that `--json` prints last. */
export function summary(
  example: WorkedExample,
  variants: readonly Variant[],
  devices: readonly Device[],
  url: string
): object {
  return {
    model: MODEL,
    version: MEMBERS[0].version,
    variants: variants.map(({ variant, state, reason, bytes, sha256, parity }) => ({
      variant,
      state,
      reason,
      bytes,
      sha256,
      parity
    })),
    devices: devices.map(({ id, name, state, facts, models, health }) => ({
      id,
      name,
      state,
      runtimes: facts.runtimes,
      models,
      health
    })),
    inference: example.measured.map(({ device, runtime, variant, runs, p50Ms, p99Ms, jobP50Ms, accuracy, output }) => ({
      ...{ device, runtime, variant, runs, p50Ms, p99Ms, jobP50Ms, accuracy, output }
    })),
    random: example.randomAnswer,
    urls: { api: `${url}/api/v1`, docs: `${url}/docs`, metrics: `${url}/metrics` }
  }
}
