import { gzipSync } from 'node:zlib'
import type { ConfigReport, DeviceFacts, DeviceHealth, Slots } from '@skerry/contracts'
import type { AgentSettings } from '../config.ts'
import type { Placement } from '../reconciler.ts'
import { type RecentLog, readableLine } from './recent-log.ts'
import { withoutSecrets } from './secrets.ts'
import { makeTar } from './tar.ts'

/** All that is known when a bundle is asked for. */
export type Situation = {
  device: { id: string; name: string }
  settings: AgentSettings
  config: ConfigReport
  facts: DeviceFacts
  slots: Slots
  /** By runtime, what its answers depend on here. */
  versions: Record<string, unknown>
  /** null until the control plane has said what it wants. */
  placements: Placement[] | null
  work: {
    journalEntries: number
    journalBytes: number
    journalDropped: number
    held: number
    waiting: number
    cachedFiles: number
    cachedBytes: number
  }
  /** Oldest first. */
  health: readonly DeviceHealth[]
  recentLog: RecentLog | undefined
  secrets: readonly string[]
  startedAtMs: number
  nowMs: number
}

/** Before compression; a device with a thousand placements must not fill the control plane. */
const MAX_FILE_BYTES = 768 * 1024

/** A .tar.gz that a person can read: `summary.txt` first, then a file for each subject. No secret is in it. */
export function makeBundle(situation: Situation): Buffer {
  const { config, facts, versions, health, secrets, nowMs } = situation
  const files: [string, string][] = [
    ['summary.txt', summaryOf(situation)],
    ['log.txt', logOf(situation.recentLog)],
    ['config.json', json({ startedWith: startedWith(situation.settings), ...config })],
    ['facts.json', json(facts)],
    ['versions.json', json(versions)],
    ['placements.json', json(situation.placements?.map(placementOf) ?? null)],
    ['work.json', json(situation.work)],
    ['health.json', `[\n${health.map((each) => JSON.stringify(each)).join(',\n')}\n]\n`]
  ]
  const folder = `skerry-${situation.device.name}`
  const entries = files.map(([name, text]) => ({
    name: `${folder}/${name}`,
    bytes: bounded(withoutSecrets(text, secrets))
  }))
  return gzipSync(makeTar(entries, nowMs))
}

function summaryOf({
  device,
  settings,
  config,
  facts,
  placements,
  work,
  health,
  startedAtMs,
  nowMs
}: Situation): string {
  const { applied, refused, revision } = config
  const last = health.at(-1)
  const line = (name: string, value: unknown): string => `${name.padEnd(14)}${value}`
  return [
    line('device', `${device.name} (${device.id})`),
    line('gathered', new Date(nowMs).toISOString()),
    line('runs since', new Date(startedAtMs).toISOString()),
    line('agent', `${facts.agentVersion ?? 'unknown'} on Node ${process.versions.node}`),
    line('machine', `${facts.cpuModel}, ${facts.cores} cores, ${facts.arch}, ${facts.os}`),
    line('control plane', originOf(settings.url)),
    line('runtimes', applied.runtimes.map(({ name, version }) => `${name} ${version}`).join(', ')),
    line('runs with', `${applied.slots} slots, ${applied.threads} threads, log level ${applied.logLevel}`),
    line('configuration', `revision ${revision}`),
    ...refused.map(({ setting, reason }) => line('', `${setting} refused: ${reason}`)),
    line('work', `${work.held} jobs here, ${work.waiting} wait for a slot`),
    line('results', `${work.journalEntries} not acknowledged, ${work.journalDropped} dropped`),
    line('models', `${work.cachedFiles} files, ${work.cachedBytes} bytes on the disk`),
    line('health', last === undefined ? 'not read yet' : JSON.stringify(last)),
    '',
    'placements',
    ...(placements?.map(
      ({ unit, state, reason }) =>
        `  ${state.padEnd(10)} ${unit.deployments.join(', ')}: ${unit.manifest.model}/${unit.manifest.version} ` +
        `${unit.manifest.variant} on ${unit.runtime}${reason === undefined ? '' : `. ${reason}`}`
    ) ?? ['  nothing is known: the control plane has not said what it wants']),
    ''
  ].join('\n')
}

function logOf(recent: RecentLog | undefined): string {
  if (recent === undefined) return 'This agent was started without a memory of its log.\n'
  const gap = recent.dropped === 0 ? '' : `(${recent.dropped} older lines are gone)\n`
  return `${gap}${recent.lines().map(readableLine).join('\n')}\n`
}

/** What somebody chose; not the token, and nothing that a later setting might bring. */
function startedWith(settings: AgentSettings) {
  const { runtime, capabilities, slots, threads, limits, logLevel, given, systemRoot, dataDir, cacheBytes } = settings
  const { labels, python, liteRtLibrary, liteRtVersion, invokeTimeoutMs, local, stopGraceMs } = settings
  return {
    url: originOf(settings.url),
    ...{ runtime, capabilities, slots, threads, limits, logLevel, given: [...given], systemRoot, dataDir, cacheBytes },
    ...{ labels, python, liteRtLibrary, liteRtVersion, invokeTimeoutMs, local, stopGraceMs }
  }
}

/** An address may hold a user and a password. */
const originOf = (url: URL): string => `${url.origin}${url.pathname}`

const placementOf = ({ unit, ...status }: Placement) => {
  const { artifact, runtime, deployments, manifest } = unit
  const { model, version, variant, bytes } = manifest
  return { deployments, model, version, variant, artifact, bytes, runtime, ...status }
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

function bounded(text: string): Uint8Array {
  const bytes = Buffer.from(text)
  if (bytes.byteLength <= MAX_FILE_BYTES) return bytes
  return Buffer.concat([Buffer.from('(its start was cut off)\n'), bytes.subarray(-MAX_FILE_BYTES)])
}
