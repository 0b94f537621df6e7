import type { ConfigReport, ControlFrame, DeviceConfigPatch, DeviceConfigState } from '@skerry/contracts'
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
    const frame = frameOf(state)
    if (frame !== null) {
      const { deviceId } = state
      await this.#cluster.toDevice(deviceId, { type: 'device-frame', deviceId, frame })
    }
    return state
  }

  /** After the welcome. */
  async begin({ deviceId, link }: Connection): Promise<void> {
    const frame = frameOf(await this.#resources.registry.deviceConfigs.get(deviceId))
    if (frame !== null) link.send(frame)
  }

  async onReport({ deviceId, name }: Connection, { revision, applied, refused }: ConfigReport): Promise<void> {
    const { registry, nowMs, log } = this.#resources
    await registry.deviceConfigs.report(deviceId, { revision, applied, refused }, new Date(nowMs()))
    log.info({ device: name, revision, refused: refused.length }, 'a device answered its configuration')
  }
}

/** Null where nothing was ever set, so that there is nothing to say; where all was taken back there is. */
function frameOf({ understood, revision, wanted }: DeviceConfigState): ControlFrame | null {
  return understood && revision > 0 ? { type: 'config', revision, config: wanted } : null
}
