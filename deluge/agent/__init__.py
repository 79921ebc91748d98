"""Agents: a model that calls tools, round after round, until it has its answer."""

from deluge.agent.agents import Agents
from deluge.agent.future import AgentFuture
from deluge.agent.trajectory import AgentRound, ToolRun, Trajectory

__all__ = ["AgentFuture", "AgentRound", "Agents", "ToolRun", "Trajectory"]
