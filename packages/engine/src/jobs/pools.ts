/** Names of BullMQ's queues: work that the same devices can do. */
export const CONVERSION_POOL = 'conversion'
const OF_DEVICE = 'device-'
/** Work that names its device has a pool of its own, so that it holds up nobody while that device is busy or away. */
export const devicePool = (deviceId: string): string => `${OF_DEVICE}${deviceId}`
export const isDevicePool = (pool: string): boolean => pool.startsWith(OF_DEVICE)
export const deploymentPool = (deployment: string): string => `deployment-${deployment}`
