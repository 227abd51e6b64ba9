"""gcrl"""
