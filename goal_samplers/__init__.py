"""goal_samplers"""
