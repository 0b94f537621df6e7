import fs from 'node:fs'
import { parseArgs } from 'node:util'
import { upperBound } from './bound.ts'
import { arrivalPolicies } from './bound-at-arrival.ts'
import { parseArrivals, parseLatencyTable } from './csv.ts'
import { lateEdf, skerry } from './late-policies.ts'
import { plotSvg } from './plot.ts'
import { quantiles, unseenError } from './prediction.ts'
import { type PolicyReport, report } from './report.ts'
import { makeWorkload } from './workload.ts'
import { type Policy, type PolicyWorld, simulate } from './world.ts'

/** Beyond this many devices a policy that looks at every device for every request is left out, and that is said. */
const EVERY_DEVICE_AT_MOST = 2_000
const LOOKS_AT_ALL = ['least-loaded', 'predicted-finish', 'predicted-finish-refuse']
const FIGURES = [
  'goodputPercent',
  'failedPercent',
  'missedPercent',
  'refusedPercent',
  'worstModelFailedPercent',
  'p50Ms',
  'p99Ms'
] as const
const USAGE = `npm run sim -- --latency FILE --arrivals FILE [--devices 104] [--requests N] [--load 0.8] [--deadline 5] [--seed 1]
  [--seeds N] [--policies a,b] [--churn SHARE] [--drift SHARE] [--drift-factor 5] [--plot FILE.svg] [--json]
  --predict: only the prediction error for pairs that never ran`

export function runSim(argv: string[], print: (line: string) => void): number {
  const { values } = parseArgs({
    args: argv,
    options: {
      latency: { type: 'string' },
      arrivals: { type: 'string' },
      devices: { type: 'string', default: '104' },
      requests: { type: 'string', default: '0' },
      load: { type: 'string', default: '0.8' },
      deadline: { type: 'string', default: '5' },
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string', default: '1' },
      policies: { type: 'string' },
      churn: { type: 'string', default: '0' },
      noise: { type: 'string', default: '0.15' },
      drift: { type: 'string', default: '0' },
      'drift-factor': { type: 'string', default: '5' },
      plot: { type: 'string' },
      json: { type: 'boolean', default: false },
      predict: { type: 'boolean', default: false }
    }
  })
  if (values.latency === undefined || (values.arrivals === undefined && !values.predict)) {
    print(USAGE)
    return 1
  }
  const table = parseLatencyTable(fs.readFileSync(values.latency, 'utf8'))
  const first = Number(values.seed)
  const seeds = Array.from({ length: Math.max(1, Number(values.seeds)) }, (_, i) => first + i)
  const unseen = unseenError(table, seeds.length >= 5 ? seeds : [0, 1, 2, 3, 4].map((i) => first + i))
  if (values.predict) {
    print(JSON.stringify(unseen))
    return 0
  }
  const trace = parseArrivals(fs.readFileSync(values.arrivals as string, 'utf8'))
  const devices = Number(values.devices)
  const known: Record<string, (world: PolicyWorld) => Policy> = {
    ...arrivalPolicies(first),
    'late-edf': lateEdf,
    skerry: skerry()
  }
  const wanted = values.policies?.split(',') ?? Object.keys(known)
  const leftOut = devices > EVERY_DEVICE_AT_MOST && values.policies === undefined ? LOOKS_AT_ALL : []
  const names = wanted.filter((name) => !leftOut.includes(name))
  const disturbance = {
    churn: Number(values.churn),
    drift: Number(values.drift),
    noise: Number(values.noise),
    driftFactor: Number(values['drift-factor'])
  }
  const seenErrors: number[] = []
  const once = (name: string, load: number) =>
    seeds.map((seed) => {
      const workload = makeWorkload(table, trace, {
        devices,
        requests: Number(values.requests),
        load,
        deadline: Number(values.deadline),
        seed
      })
      const make = known[name]
      if (make === undefined) throw new Error(`no policy is called ${name}; there are ${Object.keys(known).join(', ')}`)
      const outcome = simulate(workload, make, { seed, ...disturbance })
      if (name === 'skerry') for (const error of outcome.seenErrors) seenErrors.push(error)
      return report(name, workload, outcome)
    })
  const policies = names.map((name) => {
    const summed = summarize(once(name, Number(values.load)))
    if (!values.json)
      print(
        `${name.padEnd(25)} failed ${summed.failedPercent.toFixed(1)} %, worst model ${summed.worstModelFailedPercent.toFixed(1)} %, p99 ${summed.p99Ms.toFixed(1)} ms`
      )
    return summed
  })
  const bounds = seeds.map((seed) =>
    upperBound(
      makeWorkload(table, trace, {
        devices,
        requests: Number(values.requests),
        load: Number(values.load),
        deadline: Number(values.deadline),
        seed
      }),
      disturbance
    )
  )
  const bound = { goodputPercent: mean(bounds.map((each) => each.goodputPercent)), how: bounds[0]?.how ?? '' }
  const seen = quantiles(seenErrors)
  if (values.plot !== undefined) {
    const series = names.map((name) => ({
      name,
      points: [0.3, 0.5, 0.65, 0.8, 0.95, 1.1].map((load) => ({ load, ...summarize(once(name, load)) }))
    }))
    fs.writeFileSync(values.plot, plotSvg(series))
  }
  const prediction = {
    seenP90: seen.p90,
    unseenP90: unseen.unseen.p90,
    twoWayUnseenP90: unseen.twoWay.p90,
    seen,
    ...unseen
  }
  print(JSON.stringify({ policies, bound, prediction, leftOut, seeds, ...disturbance }))
  return 0
}

type Summary = PolicyReport & { ci95: Record<(typeof FIGURES)[number], number> }

/** Means over the seeds, and half the width of their 95 % confidence interval (normal approximation). */
function summarize(reports: PolicyReport[]): Summary {
  const head = reports[0] as PolicyReport
  const entries = FIGURES.map((figure) => [figure, reports.map((each) => each[figure])] as const)
  const means = Object.fromEntries(entries.map(([figure, all]) => [figure, mean(all)]))
  const ci95 = Object.fromEntries(
    entries.map(([figure, all]) => {
      const centre = mean(all)
      const variance = all.reduce((sum, each) => sum + (each - centre) ** 2, 0) / Math.max(1, all.length - 1)
      return [figure, 1.96 * Math.sqrt(variance / all.length)]
    })
  )
  return { ...head, ...means, ci95 } as Summary
}

const mean = (all: readonly number[]): number => all.reduce((sum, each) => sum + each, 0) / Math.max(1, all.length)
