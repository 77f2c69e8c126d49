import { Module } from '@nestjs/common';
import { NodesModule } from '../nodes/nodes.module.js';
import { VpnConnectionsController } from './vpn-connections.controller.js';
import { VpnConnectionsRepository } from './vpn-connections.repository.js';
import { VpnConnectionsService } from './vpn-connections.service.js';

@Module({
  imports: [NodesModule],
  controllers: [VpnConnectionsController],
  providers: [VpnConnectionsRepository, VpnConnectionsService],
})
export class VpnModule {}
