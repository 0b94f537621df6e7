import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { RuntimeInfo, RuntimeName } from '@skerry/contracts'
import { missingPackage, startRuntime, type TfliteRuntime, thisMachine } from '@skerry/runtimes'
import type { Logger } from 'pino'
import { Agent, type AgentExit } from './agent.ts'
import { AgentError, wordsOf } from './agent-error.ts'
import { StandardBenchmark } from './capacity/standard-benchmark.ts'
import { type AgentOptions, type AgentSettings, settingsOf } from './config.ts'
import { lockDataDir } from './data-dir-lock.ts'
import { openLog } from './diagnostics/open-log.ts'
import { endpointsOf } from './endpoints.ts'
import { enrol } from './enrol.ts'
import { type MeasuredRuntimes, machineSize, readFacts } from './facts.ts'
import { HttpExchange } from './http-exchange.ts'
import { type Identity, loadIdentity, makeDeviceKey, saveIdentity } from './identity.ts'
import { LiteRtSource } from './library/litert-source.ts'
import { ConfigStore } from './remote/config-store.ts'
import { localConfigOf } from './remote/decide-config.ts'
import { LiveConfig } from './remote/live-config.ts'
import { readCores, readMemory, slotsFor } from './system/resources.ts'
import { SystemFiles } from './system/system-files.ts'

export type RunningAgent = {
  deviceId: string
  name: string
  runtimes: RuntimeInfo[]
  /** Where local inference listens, null when it is off. */
  localAddress: string | null
  /** Resolves when the first session with the control plane stands. */
  connected: Promise<void>
  /** Between debug and the level that is set; answers the new level. */
  toggleDebug(): string
  /** Ends or hands back the work in hand, closes the socket and the runtimes' processes. Safe to call twice. */
  stop(): Promise<void>
  /** Resolves when the agent has ended, by `stop` or because the control plane revoked the device. Never rejects. */
  closed: Promise<AgentExit>
}

/**
 * Joins this machine to a control plane, once, and runs its agent. A data directory that holds an identity needs no
 * token; without one the token enrols the device. Resolves when the agent runs, connected or not yet; from then on it
 * reconnects by itself.
 *
 * @throws AgentError whose message is a sentence for the person who typed the command.
 */
export async function joinAndRun(options: AgentOptions): Promise<RunningAgent> {
  const files = new SystemFiles(options.systemRoot)
  const cores = await readCores(files, machineSize())
  const { totalBytes } = await readMemory(files, machineSize())
  const settings = settingsOf(options, (threads) => slotsFor({ cores, memoryBytes: totalBytes, threads }))
  const { logger: log, recentLog } =
    options.logger === undefined ? openLog(settings.logLevel) : { ...options, logger: options.logger }
  await mkdir(settings.dataDir, { recursive: true, mode: 0o700 })
  const unlock = await lockDataDir(settings.dataDir)
  const http = new HttpExchange()
  try {
    const { dataDir, liteRtLibrary, liteRtVersion } = settings
    const known = await loadIdentity(dataDir)
    const library = { library: liteRtLibrary, version: liteRtVersion }
    const liteRt = new LiteRtSource({ ...library, dataDir, machine: thisMachine(), log, onPoint: settings.onPoint })
    if (known !== null) await liteRt.open(known.controlPlanePublicKey)
    const standard = await StandardBenchmark.open({ path: join(dataDir, 'runtimes.json'), files, now: Date.now, log })
    const start = (name: RuntimeName): Promise<TfliteRuntime> =>
      liteRt
        .watched(name, () => startRuntimeFor(liteRt, live.config.threads, log, name))
        .catch((error: unknown) => standard.forget(name).then(() => Promise.reject(error)))
    const probe = (wanted: 'auto' | RuntimeName): Promise<RuntimeInfo[]> => {
      const { library, version } = liteRt
      return standard.probe({ wanted, library, version, threads: live.config.threads, start, missing: missingPackage })
    }
    const store = new ConfigStore(dataDir, log, settings.onPoint)
    const local = localConfigOf(settings, cores)
    const benchmarkOf = (runtimes: readonly RuntimeInfo[]) => standard.of(runtimes)
    const live = await LiveConfig.open({ local, store, probe, benchmarkOf, log })
    await live.start()
    const { runtimes } = live
    const converter = await openConverter(settings, runtimes, log)
    const identity = known ?? (await newIdentity(settings, live, files, http))
    const agent = await Agent.start({
      settings,
      identity,
      live,
      liteRt,
      startRuntime: start,
      files,
      ...(converter === undefined ? {} : { converter }),
      http,
      log,
      recentLog,
      now: Date.now
    })
    const closed = agent.closed.finally(unlock)
    return {
      deviceId: identity.deviceId,
      name: identity.name,
      get runtimes() {
        return live.runtimes
      },
      localAddress: agent.localAddress,
      connected: agent.connected,
      closed,
      toggleDebug: () => live.toggleDebug(),
      stop: async () => {
        await agent.stop()
        await closed
      }
    }
  } catch (error) {
    http.close()
    await unlock()
    throw error
  }
}

function startRuntimeFor(
  liteRt: LiteRtSource,
  threads: number,
  log: Logger,
  name: RuntimeName
): Promise<TfliteRuntime> {
  const { library: liteRtLibrary, version: liteRtVersion } = liteRt
  return startRuntime(name, {
    threads,
    ...(name !== 'litert' || liteRtLibrary === undefined ? {} : { liteRtLibrary }),
    ...(name !== 'litert' || liteRtVersion === undefined ? {} : { version: liteRtVersion }),
    onStderr: (line) => log.debug({ runtime: name, line }, 'runtime')
  })
}

async function openConverter({ capabilities, python }: AgentSettings, runtimes: RuntimeInfo[], log: Logger) {
  if (!capabilities.includes('convert') || python === undefined) return undefined
  const { ConverterWorker, converterStamp } = await import('@skerry/converter')
  const worker = new ConverterWorker({ python, onLog: (line) => log.debug({ line }, 'converter') })
  try {
    const stamp = await converterStamp(
      python,
      runtimes.map(({ name, version }) => `${name} ${version}`)
    )
    return { worker, stamp }
  } catch (error) {
    // Its conversions will say what is wrong; none of them can be known from before.
    log.warn({ error: wordsOf(error) }, 'the converter does not tell its versions')
    return { worker }
  }
}

async function newIdentity(
  settings: AgentSettings,
  runtimes: MeasuredRuntimes,
  files: SystemFiles,
  http: HttpExchange
): Promise<Identity> {
  const { url, token, name, labels, capabilities, slots, dataDir, onPoint } = settings
  if (token === undefined) {
    throw new AgentError('token-needed', `There is no identity in ${dataDir}: give a join token with --token.`)
  }
  const { privateKey, publicKeyBase64 } = makeDeviceKey()
  const answer = await enrol(http, endpointsOf(url).enrol, {
    token,
    publicKey: publicKeyBase64,
    capabilities,
    slots,
    facts: await readFacts(dataDir, runtimes, files),
    ...(name === undefined ? {} : { name }),
    ...(Object.keys(labels).length === 0 ? {} : { labels })
  })
  const identity: Identity = {
    deviceId: answer.deviceId,
    name: answer.name,
    url: url.href,
    privateKey,
    controlPlanePublicKey: answer.controlPlanePublicKey
  }
  onPoint('enrolled')
  await saveIdentity(dataDir, identity, () => onPoint('identity-written'))
  onPoint('identity-saved')
  return identity
}
