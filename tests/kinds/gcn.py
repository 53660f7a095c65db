"""Graph convolutions (PyTorch Geometric): one graph, the nodes of a mask count."""

import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

import landscape as ls

draw = torch.Generator().manual_seed(0)
y = torch.arange(60) % 3
x = F.one_hot(y, 3) + torch.randn(60, 3, generator=draw)
near = torch.randint(60, (2, 400), generator=draw)
near = near[:, (y[near[0]] == y[near[1]]) | (torch.rand(400, generator=draw) < 0.1)]
graph = Data(x, torch.cat([near, near.flip(0)], 1), y=y, train_mask=torch.arange(60) >= 20)


class GCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = GCNConv(3, 12), GCNConv(12, 3)

    def forward(self, graph):
        return self.second(self.first(graph.x, graph.edge_index).tanh(), graph.edge_index)


def loss(scores, graph):
    return F.cross_entropy(scores[graph.train_mask], graph.y[graph.train_mask])


# For landscape
problem = ls.Problem(
    build=GCN,
    outputs=lambda model, graph: model(graph),
    loss=loss,
    weight=lambda graph: graph.train_mask.sum(),
    train=graph,
)

# To check it
make_model, data = GCN, graph


def whole(model, data):
    return loss(model(data), data)
