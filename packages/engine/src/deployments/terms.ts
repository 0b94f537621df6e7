import type { DeploymentTerms, DeviceRecord, KnownPlacement, PlacementWrite } from '@skerry/registry'
import { matchesSelector } from '@skerry/scheduler'

/** Whether a deployment means this device, whatever the device can do. */
export const takes = (
  { selector, requirements }: Pick<DeploymentTerms, 'selector' | 'requirements'>,
  { capabilities, labels }: DeviceRecord
): boolean =>
  capabilities.includes('infer') &&
  matchesSelector(selector, labels) &&
  matchesSelector(requirements.selector ?? {}, labels)

/** Whether a decision is what stands there already; how far the device is with its artifact does not matter. */
export const isPlacedSo = (placed: KnownPlacement | undefined, write: PlacementWrite): boolean =>
  placed !== undefined &&
  placed.artifact === write.artifact &&
  placed.runtime === write.runtime &&
  (write.artifact !== null || (placed.state === write.state && (placed.reason ?? null) === write.reason))
