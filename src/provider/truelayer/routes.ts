// Every route with its calls to TrueLayer. A route of domain/routes.ts that is missing here does not compile.
import type { Route } from '../../domain/routes.ts'
import { full } from './full/route.ts'
import { reauth } from './reauth/route.ts'
import type { TrueLayerRoute } from './route.ts'

export const truelayerRoutes: Readonly<Record<Route, TrueLayerRoute>> = { reauth, full }
