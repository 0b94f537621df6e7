import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import type { BenchmarkContext } from './benchmarks.ts'
import { median } from './median.ts'
import { SizedFleet, timed } from './sized-fleet.ts'

const SIZES = [10, 100, 1_000, 10_000]
const ROUNDS = 5
const JOBS = 2_000
/** A period of heartbeats. */
const IDLE_MS = 10_000
/** What the benchmark and a control plane have open beside their sockets. */
const OTHER_FILES = 500

export type FleetSize = {
  devices: number
  /** From the first connection that is begun to the last device that serves the model. */
  connectSeconds: number
  connectCpuMicrosPerDevice: number
  /** CPU of the control plane's process per durable job, beyond what it takes idle in that time. */
  cpuMicrosPerJob: number
  /** The same with what it takes idle. */
  grossCpuMicrosPerJob: number
  perSecond: number
  /** CPU of the control plane's process per job that is refused at once, of many whose deadline nobody can meet. */
  cpuMicrosPerRefusal: number
  /** Of one core, with heartbeats every 10 s. */
  idleCpuPercent: number
  rssBytes: number
  /** From the kill of the control plane until it answers again: it waits for its own old lease. */
  restartSeconds: number
  /** From then on until all devices serve again; they wait up to 15 s before they try again, as agents do. */
  returnSeconds: number
  returnAttemptsPerDevice: number
}

type Measuring = {
  fleet: SizedFleet
  result: Pick<FleetSize, 'devices' | 'connectSeconds' | 'connectCpuMicrosPerDevice'>
  idleShare: number
  rounds: { ms: number; cpuMs: number }[]
}

/**
 * What a job and a connection cost the control plane as the number of connected devices grows: one control plane for each
 * size, all of them with their devices connected, and rounds of jobs in turn, so that whatever else the machine does falls on
 * all sizes alike. `growth` is the median over the rounds of a job's cost with the most devices over that with the fewest.
 */
export async function benchmarkFleetSizes({ devices: sizes = SIZES, valkeyServer, say }: BenchmarkContext): Promise<{
  fleetSizes?: FleetSize[]
  growth?: number
  grossGrowth?: number
  connectGrowth?: number
  leftOut?: string[]
}> {
  if (sizes.length === 0) return {}
  const { possible, leftOut } = withinLimits([...new Set(sizes)].sort((a, b) => a - b))
  for (const line of leftOut) say(line)
  const all: Measuring[] = []
  try {
    for (const devices of possible) all.push(await connected(valkeyServer, devices, say))
    await idle(all)
    for (let round = 0; round < ROUNDS; round++) for (const each of all) each.rounds.push(await each.fleet.finish(JOBS))
    const fleetSizes: FleetSize[] = []
    for (const each of all) fleetSizes.push(await finished(each, say))
    for (const line of tableOf(fleetSizes)) say(line)
    return { fleetSizes, ...growthOf(all), ...(leftOut.length === 0 ? {} : { leftOut }) }
  } finally {
    for (const { fleet } of all) await fleet.stop()
  }
}

/** Each device is an open file here, and another one in its control plane's process. */
function withinLimits(sizes: readonly number[]): { possible: number[]; leftOut: string[] } {
  const limit = Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity)
  const possible: number[] = []
  const leftOut: string[] = []
  let needed = OTHER_FILES
  for (const devices of sizes) {
    if (needed + devices <= limit) {
      needed += devices
      possible.push(devices)
    } else
      leftOut.push(
        `${devices} devices are left out: ${needed + devices} open files are needed and ${limit} allowed ` +
          `(ulimit -n ${needed + devices}, or fewer sizes at once)`
      )
  }
  return { possible, leftOut }
}

async function connected(valkeyServer: string, devices: number, say: (line: string) => void): Promise<Measuring> {
  const fleet = await SizedFleet.start(valkeyServer, devices)
  const { ms, cpuMs } = await fleet.connect()
  const slots = `${devices} devices of ${fleet.slots} slots`
  say(`${slots} serve after ${seconds(ms)} s, ${Math.round((cpuMs * 1_000) / devices)} us of CPU each`)
  await fleet.finish(JOBS)
  const result = {
    devices,
    connectSeconds: ms / 1_000,
    connectCpuMicrosPerDevice: (cpuMs * 1_000) / devices
  }
  return { fleet, result, idleShare: Number.NaN, rounds: [] }
}

/** Share of a core that each takes with nothing to do but heartbeats. */
async function idle(all: readonly Measuring[]): Promise<void> {
  // What the last jobs left behind has settled.
  await pause(1_000)
  const before = all.map(({ fleet }) => fleet.cpuMs())
  const ms = await timed(() => pause(IDLE_MS))
  all.forEach((each, i) => {
    each.idleShare = (each.fleet.cpuMs() - (before[i] ?? Number.NaN)) / ms
  })
}

const netMicros = ({ idleShare }: Measuring, { ms, cpuMs }: { ms: number; cpuMs: number }): number =>
  ((cpuMs - idleShare * ms) * 1_000) / JOBS
const grossMicros = (_: Measuring, { cpuMs }: { cpuMs: number }): number => (cpuMs * 1_000) / JOBS

async function finished(each: Measuring, say: (line: string) => void): Promise<FleetSize> {
  const { fleet, result, idleShare, rounds } = each
  const cpuMicrosPerRefusal = await fleet.refusalCpuMicros(JOBS)
  const rssBytes = fleet.residentBytes()
  const { restartMs, returnMs, attempts } = await fleet.crash()
  const size: FleetSize = {
    ...result,
    cpuMicrosPerJob: median(rounds.map((round) => netMicros(each, round))),
    grossCpuMicrosPerJob: median(rounds.map((round) => grossMicros(each, round))),
    perSecond: median(rounds.map(({ ms }) => (JOBS * 1_000) / ms)),
    cpuMicrosPerRefusal,
    idleCpuPercent: idleShare * 100,
    rssBytes,
    restartSeconds: restartMs / 1_000,
    returnSeconds: returnMs / 1_000,
    returnAttemptsPerDevice: attempts / result.devices
  }
  say(
    `${size.devices} devices: ${Math.round(size.cpuMicrosPerJob)} us of CPU a job, ${Math.round(size.perSecond)} jobs/s; ` +
      `${Math.round(size.cpuMicrosPerRefusal)} us a refusal; ` +
      `idle ${size.idleCpuPercent.toFixed(1)} % of a core; all back ${seconds(returnMs)} s after a crash was over`
  )
  return size
}

function growthOf(all: readonly Measuring[]): { growth?: number; grossGrowth?: number; connectGrowth?: number } {
  const [least, most] = [all[0], all.at(-1)]
  if (least === undefined || most === undefined || least === most) return {}
  const growth = (microsOf: typeof netMicros) =>
    median(
      most.rounds.map((round, i) => microsOf(most, round) / microsOf(least, least.rounds[i] ?? { ms: 0, cpuMs: 0 }))
    )
  return {
    growth: growth(netMicros),
    grossGrowth: growth(grossMicros),
    connectGrowth: most.result.connectCpuMicrosPerDevice / least.result.connectCpuMicrosPerDevice
  }
}

/** As it stands in docs/fleet-size.md. */
const tableOf = (sizes: readonly FleetSize[]): string[] => [
  '| devices | connect s | CPU us per connection | CPU us per job | with idle CPU | jobs/s | CPU us per refusal | idle CPU % | RSS MB | back after a crash s |',
  '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |',
  ...sizes.map((each) => {
    const columns = [
      each.devices.toLocaleString('en'),
      each.connectSeconds.toFixed(1),
      each.connectCpuMicrosPerDevice.toFixed(0),
      each.cpuMicrosPerJob.toFixed(0),
      each.grossCpuMicrosPerJob.toFixed(0),
      each.perSecond.toFixed(0),
      each.cpuMicrosPerRefusal.toFixed(0),
      each.idleCpuPercent.toFixed(1),
      (each.rssBytes / 1e6).toFixed(0),
      each.returnSeconds.toFixed(1)
    ]
    return `| ${columns.join(' | ')} |`
  })
]

const seconds = (ms: number): string => (ms / 1_000).toFixed(1)
