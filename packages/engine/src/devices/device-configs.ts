import type {
  ConfigReport,
  ControlFrame,
  DeviceConfig,
  DeviceConfigPatch,
  DeviceConfigState,
  DeviceFacts
} from '@skerry/contracts'
import type { Cluster } from '../cluster/cluster.ts'
import type { EngineResources } from '../resources.ts'
import type { Connection } from './connections.ts'

/**
 * What operators set for devices: kept in the registry, sent at the start of each session and when it changes, and
 * answered by the device. An agent that is too old for it is sent nothing.
 */
export class DeviceConfigs {
  readonly #resources: EngineResources
  readonly #cluster: Cluster

  constructor(resources: EngineResources, cluster: Cluster) {
    this.#resources = resources
    this.#cluster = cluster
  }

  get(idOrName: string): Promise<DeviceConfigState> {
    return this.#resources.registry.deviceConfigs.get(idOrName)
  }

  async change(idOrName: string, patch: DeviceConfigPatch): Promise<DeviceConfigState> {
    const state = await this.#resources.registry.deviceConfigs.patch(idOrName, patch)
    const frame = state.understood ? frameOf(state.revision, state.wanted) : null
    if (frame !== null) {
      const { deviceId } = state
      await this.#cluster.toDevice(deviceId, { type: 'device-frame', deviceId, frame })
    }
    return state
  }

  async onReport({ deviceId, name }: Connection, { revision, applied, refused }: ConfigReport): Promise<void> {
    const { registry, nowMs, log } = this.#resources
    await registry.deviceConfigs.report(deviceId, { revision, applied, refused }, new Date(nowMs()))
    log.info({ device: name, revision, refused: refused.length }, 'a device answered its configuration')
  }
}

/** What a device is told at the start of a session. */
export const configFrameOf = (facts: DeviceFacts, revision: number, wanted: DeviceConfig): ControlFrame | null =>
  facts.understands?.includes('config') === true ? frameOf(revision, wanted) : null

/** Null where nothing was ever set, so that there is nothing to say; where all was taken back there is. */
const frameOf = (revision: number, config: DeviceConfig): ControlFrame | null =>
  revision > 0 ? { type: 'config', revision, config } : null
